import { eq } from 'drizzle-orm';
import type { Capability } from '../../capabilities/capability.ts';
import { decide } from '../../capabilities/decide.ts';
import type { Transaction } from '../../store/connection.ts';
import { actions, approvals, approvalVotes, type Decision, publications } from '../../store/schema.ts';
import { enqueueAction } from '../platform-action.ts';
import { currentHash } from './binding.ts';
import { type ApprovalRow, closeApproval, voterName } from './close.ts';
import type { ApprovalDependencies } from './session-port.ts';
import { judgeVote, type RefusalCode, type Voter } from './verdict.ts';

export interface VoteInput {
  approvalId: string;
  /**
   * Where the word came in: only in the anchor that was asked does the provider's word on somebody's authority count.
   * Undefined for the API, which sees all of its organization.
   */
  anchorId: string | undefined;
  decision: Decision;
  voter: Voter;
  now: Date;
}

/** What came of it, with a sentence for who decided. */
export type VoteOutcome =
  | { kind: 'refused'; code: RefusalCode; reason: string; sessionId?: string }
  | { kind: 'counted' | 'approved' | 'rejected'; reason: string; sessionId: string };

/**
 * Counts one person's word. Of several at once each waits for the one before it, so that exactly one decides. Approved,
 * the stored action goes on its way in this transaction, after its bytes were compared with what people were shown.
 */
export async function vote(
  tx: Transaction,
  dependencies: ApprovalDependencies,
  { approvalId, anchorId, decision, voter, now }: VoteInput,
): Promise<VoteOutcome> {
  const rows = await tx.select().from(approvals).where(eq(approvals.id, approvalId)).for('update');
  const approval = rows[0];
  if (!approval || (anchorId !== undefined && anchorId !== (await anchorOf(tx, approval.actionId)))) {
    return {
      kind: 'refused',
      code: 'unknown',
      reason: `There is no request ${approvalId.slice(0, 60)} here.`,
    };
  }
  const { sessionId, organizationId } = approval;
  const votes = await tx.select().from(approvalVotes).where(eq(approvalVotes.approvalId, approvalId));
  const verdict = judgeVote({ approval, votes, voter, decision, now });
  if (verdict.kind === 'refused') {
    if (verdict.code === 'expired') await expire(tx, dependencies, approval, now);
    return { ...verdict, sessionId };
  }
  if (decision === 'approve') {
    const obstacle = await obstacleTo(tx, approval);
    if (obstacle) {
      await closeApproval(tx, dependencies, approval, {
        state: 'rejected',
        outcome: obstacle.reason,
        now,
        wakes: true,
      });
      return { kind: 'refused', ...obstacle, sessionId };
    }
  }
  await tx.insert(approvalVotes).values({
    organizationId,
    approvalId,
    voterId: voter.id,
    voterName: voter.name ?? null,
    decision,
  });
  if (verdict.kind === 'counted') {
    return { kind: 'counted', reason: `Counted; ${verdict.left} more must approve.`, sessionId };
  }
  const names = [
    ...votes.filter((each) => each.decision === decision).map(voterName),
    voter.name ?? voter.id,
  ];
  const outcome = `${verdict.state === 'approved' ? 'Approved' : 'Rejected'} by ${names.join(', ')}.`;
  if (verdict.state === 'approved') await release(tx, approval, outcome);
  const wakes = verdict.state === 'rejected';
  await closeApproval(tx, dependencies, approval, { state: verdict.state, outcome, now, wakes });
  return { kind: verdict.state, reason: outcome, sessionId };
}

async function anchorOf(tx: Transaction, actionId: string): Promise<string | null | undefined> {
  const rows = await tx.select({ anchorId: actions.anchorId }).from(actions).where(eq(actions.id, actionId));
  return rows[0]?.anchorId;
}

/** Ends a request that nobody decided over in time. */
export function expire(
  tx: Transaction,
  dependencies: ApprovalDependencies,
  approval: ApprovalRow,
  now: Date,
): Promise<void> {
  const outcome = 'Nobody decided in time, so it expired and was not done.';
  return closeApproval(tx, dependencies, approval, { state: 'expired', outcome, now, wakes: false });
}

/** Why an approved action may not be done all the same. */
async function obstacleTo(
  tx: Transaction,
  approval: ApprovalRow,
): Promise<{ code: RefusalCode; reason: string } | undefined> {
  if ((await currentHash(tx, approval.actionId)) !== approval.hash) {
    return {
      code: 'changed',
      reason:
        'What would be done is no longer what people were shown, so it was refused. The agent can ask anew.',
    };
  }
  const rows = await tx
    .select({ capability: actions.capability, grants: publications.capabilities })
    .from(actions)
    .innerJoin(publications, eq(publications.id, approval.publicationId))
    .where(eq(actions.id, approval.actionId));
  const row = rows[0];
  if (row && decide(row.capability as Capability, row.grants).decision !== 'refused') return undefined;
  return {
    code: 'no_longer_granted',
    reason: `${row?.capability ?? 'What it needs'} is not granted to this publication any more.`,
  };
}

async function release(tx: Transaction, approval: ApprovalRow, outcome: string): Promise<void> {
  const { organizationId, actionId } = approval;
  const rows = await tx
    .update(actions)
    .set({ decision: 'allowed', state: 'queued', reason: outcome })
    .where(eq(actions.id, actionId))
    .returning({ anchorId: actions.anchorId, installationId: actions.installationId });
  const action = rows[0];
  if (!action?.anchorId || !action.installationId) throw new Error(`Action ${actionId} has no place.`);
  const anchor = { id: action.anchorId, installationId: action.installationId };
  await enqueueAction(tx, { organizationId, actionId, anchor });
}
