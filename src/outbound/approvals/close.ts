import { eq } from 'drizzle-orm';
import type { Transaction } from '../../store/connection.ts';
import { actions, approvals, type approvalVotes, outbox } from '../../store/schema.ts';
import { submitPlatformAction } from '../platform-action.ts';
import type { ApprovalDependencies } from './session-port.ts';

export type ApprovalRow = typeof approvals.$inferSelect;

export interface Closing {
  state: 'approved' | 'rejected' | 'expired';
  outcome: string;
  now: Date;
  /** Whether the agent is woken with it; an approved action wakes it with its result instead. */
  wakes: boolean;
}

/** Tools that end a turn: there is nothing for the agent to go on with. */
const closingTools = new Set(['reply', 'failure']);

/** A voter as people know them. */
export const voterName = (vote: Pick<typeof approvalVotes.$inferSelect, 'voterName' | 'voterId'>): string =>
  vote.voterName ?? vote.voterId;

/** Ends a request: its row, its event, the outcome in place of the question, and word to the agent. */
export async function closeApproval(
  tx: Transaction,
  { adapters, sessions }: ApprovalDependencies,
  approval: ApprovalRow,
  { state, outcome, now, wakes }: Closing,
): Promise<void> {
  const { id, organizationId, sessionId, publicationId, actionId } = approval;
  await tx.update(approvals).set({ state, outcome, decidedAt: now }).where(eq(approvals.id, id));
  const rows = await tx.select().from(actions).where(eq(actions.id, actionId));
  const action = rows[0];
  if (!action) return;
  if (state !== 'approved') {
    await tx
      .update(actions)
      .set({ state: 'refused', reason: outcome, settledAt: now })
      .where(eq(actions.id, actionId));
  }
  await sessions.record(
    tx,
    { organizationId, sessionId, turnId: action.turnId },
    'tagalong.approval_decided',
    {
      approval_id: id,
      action_id: actionId,
      tool: action.tool,
      state,
      outcome,
    },
  );
  const tool = adapters[approval.provider].tools.find((each) => each.name === 'close_approval');
  const marks = await tx
    .select({ mark: outbox.mark })
    .from(outbox)
    .where(eq(outbox.actionId, approval.promptActionId));
  const title =
    adapters[approval.provider].tools.find((each) => each.name === action.tool)?.title ?? action.tool;
  if (tool && marks[0] && action.anchorId && action.installationId) {
    await submitPlatformAction(tx, {
      organizationId,
      sessionId,
      provider: approval.provider,
      tool,
      arguments: { approval_id: id, title, outcome, prompt_mark: marks[0].mark },
      turnId: action.turnId,
      anchor: { id: action.anchorId, installationId: action.installationId },
    });
  }
  if (state === 'approved' || closingTools.has(action.tool)) return;
  await sessions.tell(tx, {
    organizationId,
    sessionId,
    publicationId,
    anchorId: action.anchorId,
    externalKey: `approval:${id}:decided`,
    text: `Your request ${id} (${action.tool}) was not carried out. ${outcome}`,
    wakes,
    approvalId: id,
  });
}

/** Wakes the agent with what came of an approved action. Does nothing for one that needed no approval. */
export async function tellResult(
  tx: Transaction,
  { sessions }: Pick<ApprovalDependencies, 'sessions'>,
  actionId: string,
  result: { state: 'sent' | 'failed'; text: string },
): Promise<void> {
  const rows = await tx
    .select({ approval: approvals, tool: actions.tool, anchorId: actions.anchorId })
    .from(approvals)
    .innerJoin(actions, eq(actions.id, approvals.actionId))
    .where(eq(approvals.actionId, actionId));
  const row = rows[0];
  if (!row || closingTools.has(row.tool)) return;
  const { id, organizationId, sessionId, publicationId, outcome } = row.approval;
  const came = result.state === 'sent' ? 'It is done' : 'It failed all the same';
  await sessions.tell(tx, {
    organizationId,
    sessionId,
    publicationId,
    anchorId: row.anchorId,
    externalKey: `approval:${id}:result`,
    text: `Your request ${id} (${row.tool}): ${outcome ?? ''} ${came}, do not repeat it. The provider's words, as a JSON string: ${JSON.stringify(result.text)}`,
    wakes: true,
    approvalId: id,
  });
}
