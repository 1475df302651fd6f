import { and, eq, lt, sql } from 'drizzle-orm';
import type { Grants } from '../capabilities/capability.ts';
import type { ProviderTool } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { hasReadOutsiders } from '../store/outsiders.ts';
import { type ActionState, actions, anchors, outbox, type ProviderName } from '../store/schema.ts';
import { type ApprovalSetting, requestApproval } from './approvals/request.ts';
import { hashCall } from './canonical-json.ts';
import { cleanRecord } from './clean-text.ts';
import { passGate } from './gate.ts';
import { enqueueAction } from './platform-action.ts';

export interface ActionInput {
  organizationId: string;
  sessionId: string;
  provider: ProviderName;
  /** Of the publication, as they are now. */
  grants: Grants;
  tool: Pick<ProviderTool, 'name' | 'title' | 'capability' | 'effect' | 'isInAnchor' | 'elsewhere'>;
  /** Checked against the tool's schema already. */
  arguments: Readonly<Record<string, unknown>>;
  turn: { id: string; attempt: number } | undefined;
  /** Where it acts. */
  anchor: { id: string; installationId: string } | undefined;
  /** How the publication asks people. */
  approval: ApprovalSetting;
}

/** What became of a call at the gate. */
export type Submission =
  | { kind: 'refused'; actionId: string; reason: string }
  /** People are asked; nothing is done meanwhile. */
  | { kind: 'waiting'; actionId: string; approvalId: string }
  /** A write is on its way through the outbox. */
  | { kind: 'queued'; actionId: string }
  /** A read: the caller performs it now and records the result with `settleRead`. */
  | { kind: 'perform'; actionId: string }
  /** An interrupted attempt of this turn asked the same; this is what came of it. */
  | { kind: 'settled'; actionId: string; state: 'sent' | 'failed'; text: string };

/**
 * The one way by which an agent acts outside: gate, action row, and for an allowed write its outbox row and `send`
 * job, all in the caller's transaction. In a resumed turn the n-th identical call (tool and canonical arguments) takes
 * the place of the n-th write that earlier attempts recorded, and nothing is done again.
 */
export async function submitAction(tx: Transaction, input: ActionInput): Promise<Submission> {
  const { organizationId, sessionId, provider, tool, turn, anchor } = input;
  const argumentsNow = cleanRecord(input.arguments);
  const argumentsHash = hashCall(tool.name, argumentsNow);
  const standing = await stand(tx, { ...input, arguments: argumentsNow });
  if (standing.kind !== 'refused' && turn && tool.effect === 'write') {
    const earlier = await claimEarlier(tx, turn, argumentsHash);
    if (earlier) return earlier;
  }
  let refusal = standing.kind === 'refused' ? standing.reason : undefined;
  if (standing.kind === 'ask') {
    const { kind: _, ...asked } = standing;
    const requested = await requestApproval(tx, { ...asked, arguments: argumentsNow });
    if (requested.kind === 'waiting') return requested;
    refusal = requested.reason;
  }
  const actionId = newId('action');
  await tx.insert(actions).values({
    id: actionId,
    organizationId,
    sessionId,
    turnId: turn?.id ?? null,
    attempt: turn?.attempt ?? 1,
    anchorId: anchor?.id ?? null,
    installationId: anchor?.installationId ?? null,
    provider,
    capability: tool.capability,
    tool: tool.name,
    arguments: argumentsNow,
    argumentsHash,
    decision: refusal === undefined ? 'allowed' : 'refused',
    reason: refusal ?? null,
    state: refusal === undefined ? 'queued' : 'refused',
    settledAt: refusal === undefined ? null : sql`now()`,
  });
  if (refusal !== undefined || !anchor) return { kind: 'refused', actionId, reason: refusal ?? '' };
  if (tool.effect === 'read') return { kind: 'perform', actionId };
  await enqueueAction(tx, { organizationId, actionId, anchor });
  return { kind: 'queued', actionId };
}

/** Records what a read came to. */
export async function settleRead(
  tx: Transaction,
  actionId: string,
  outcome: { state: Extract<ActionState, 'sent' | 'failed'>; text: string; ref?: Record<string, string> },
): Promise<void> {
  const failed = outcome.state === 'failed';
  await tx
    .update(actions)
    .set({
      state: outcome.state,
      reason: failed ? outcome.text : null,
      result: failed ? null : cleanRecord({ text: outcome.text, ...(outcome.ref && { ref: outcome.ref }) }),
      settledAt: sql`now()`,
    })
    .where(eq(actions.id, actionId));
}

type Standing =
  | { kind: 'allowed' }
  | { kind: 'refused'; reason: string }
  | ({ kind: 'ask' } & Omit<Parameters<typeof requestApproval>[1], 'arguments'>);

/** What the gate says of it now. */
async function stand(tx: Transaction, input: ActionInput): Promise<Standing> {
  const { organizationId, sessionId, provider, tool, turn, anchor } = input;
  const no = (reason: string): Standing => ({ kind: 'refused', reason });
  if (!turn) return no('No turn is running in this session, so nothing can be done outside now.');
  if (!anchor) return no(`This session has no place in ${provider} to act in.`);
  const places = await tx.select({ place: anchors.place }).from(anchors).where(eq(anchors.id, anchor.id));
  const place = places[0]?.place ?? {};
  const elsewhere = tool.elsewhere?.(input.arguments, place) !== undefined;
  const circumstances = {
    grants: input.grants,
    readOutsiders: await hasReadOutsiders(tx, sessionId),
    inAnchor: !elsewhere && (tool.isInAnchor?.(input.arguments, place) ?? true),
  };
  if (elsewhere && tool.effect === 'read') {
    // A read is performed at once or not at all: what people approve later would have nobody to answer to.
    const leave = passGate({ capability: `${provider}:read.elsewhere`, ...circumstances });
    if (leave.kind !== 'allowed') return no(leave.reason);
  }
  const passage = passGate({ capability: tool.capability, ...circumstances });
  if (passage.kind !== 'ask') return passage.kind === 'allowed' ? passage : no(passage.reason);
  return {
    kind: 'ask',
    organizationId,
    sessionId,
    provider,
    capability: tool.capability,
    tool: tool.name,
    title: tool.title,
    anchorId: anchor.id,
    installationId: anchor.installationId,
    place,
    turn,
    reason: passage.reason,
    setting: input.approval,
  };
}

/** Takes the oldest identical write of an earlier attempt that this attempt has not asked for yet. */
async function claimEarlier(
  tx: Transaction,
  turn: { id: string; attempt: number },
  argumentsHash: string,
): Promise<Submission | undefined> {
  const found = await tx
    .select({ id: actions.id, state: actions.state, reason: actions.reason, result: actions.result })
    .from(actions)
    .innerJoin(outbox, eq(outbox.actionId, actions.id))
    .where(
      and(
        eq(actions.turnId, turn.id),
        eq(actions.argumentsHash, argumentsHash),
        lt(actions.attempt, turn.attempt),
      ),
    )
    .orderBy(outbox.position)
    .limit(1)
    // Waits for a sender that records its result at this moment, and for an identical call that takes the same row: this
    // one then finds the next.
    .for('no key update', { of: actions });
  const row = found[0];
  if (!row) return undefined;
  await tx.update(actions).set({ attempt: turn.attempt }).where(eq(actions.id, row.id));
  return settledOf(row) ?? { kind: 'queued', actionId: row.id };
}

/** An action row as the answer to its caller; undefined while it is on its way. */
export function settledOf(row: {
  id: string;
  state: ActionState;
  reason: string | null;
  result: Record<string, unknown> | null;
}): Extract<Submission, { kind: 'settled' }> | undefined {
  if (row.state === 'sent') {
    return { kind: 'settled', actionId: row.id, state: 'sent', text: String(row.result?.text ?? '') };
  }
  if (row.state === 'failed') {
    return { kind: 'settled', actionId: row.id, state: 'failed', text: row.reason ?? 'It failed.' };
  }
  return undefined;
}
