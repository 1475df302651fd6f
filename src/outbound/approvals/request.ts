import { and, count, eq, sql } from 'drizzle-orm';
import type { PolicyRules } from '../../capabilities/policy.ts';
import type { ProviderTool } from '../../providers/provider.ts';
import type { Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { actions, approvals, type ProviderName } from '../../store/schema.ts';
import { hashCall } from '../canonical-json.ts';
import { submitPlatformAction } from '../platform-action.ts';
import { askersOf } from './askers.ts';
import { type Bound, bindingHash } from './binding.ts';
import { describeAction, maxShownChars } from './shown.ts';

/** More than this wait in one session: people would stop reading what they approve. */
const maxWaiting = 10;

/** How a publication asks. */
export interface ApprovalSetting {
  publicationId: string;
  rules: PolicyRules['approvals'];
  /** The provider's tool that asks in the anchor. */
  prompt: Pick<ProviderTool, 'name' | 'capability'>;
}

export interface ApprovalRequest extends Omit<Bound, 'provider'> {
  provider: ProviderName;
  title: string;
  turn: { id: string; attempt: number };
  /** Why a person must be asked. */
  reason: string;
  setting: ApprovalSetting;
}

export type Requested =
  | { kind: 'waiting'; actionId: string; approvalId: string }
  | { kind: 'refused'; reason: string };

/**
 * Lets an action wait for people's word: its row with its exact arguments, what it is bound to, and the question in its
 * anchor, all in the caller's transaction. Asked for again while it waits, it is the same request; anything that
 * differs is a new one.
 */
export async function requestApproval(tx: Transaction, input: ApprovalRequest): Promise<Requested> {
  const { organizationId, sessionId, turn, setting, reason, title, ...call } = input;
  const bound: Bound = { organizationId, sessionId, ...call };
  const hash = bindingHash(bound);
  const waiting = await tx
    .select({ approvalId: approvals.id, actionId: approvals.actionId })
    .from(approvals)
    .where(and(eq(approvals.sessionId, sessionId), eq(approvals.hash, hash), eq(approvals.state, 'waiting')));
  if (waiting[0]) return { kind: 'waiting', ...waiting[0] };
  const open = await tx
    .select({ n: count() })
    .from(approvals)
    .where(and(eq(approvals.sessionId, sessionId), eq(approvals.state, 'waiting')));
  if (Number(open[0]?.n ?? 0) >= maxWaiting) {
    return {
      kind: 'refused',
      reason: `${reason} ${maxWaiting} requests wait in this session already; wait until people have decided over them.`,
    };
  }
  const shown = describeAction({ ...call });
  if (shown.length > maxShownChars) {
    return {
      kind: 'refused',
      reason: `${reason} It is too long to be shown to a person as a whole (at most ${maxShownChars} characters); make it shorter.`,
    };
  }

  const actionId = newId('action');
  const approvalId = newId('apr');
  const { rules } = setting;
  const askers = await askersOf(tx, turn.id);
  await tx.insert(actions).values({
    id: actionId,
    organizationId,
    sessionId,
    turnId: turn.id,
    attempt: turn.attempt,
    anchorId: call.anchorId,
    installationId: call.installationId,
    provider: call.provider,
    capability: call.capability,
    tool: call.tool,
    arguments: { ...call.arguments },
    argumentsHash: hashCall(call.tool, call.arguments),
    decision: 'waiting_for_approval',
    reason,
    state: 'waiting',
  });
  const promptActionId = await submitPlatformAction(tx, {
    organizationId,
    sessionId,
    provider: call.provider,
    tool: setting.prompt,
    arguments: { approval_id: approvalId, title, shown, rules: rulesInWords(rules, reason) },
    turnId: turn.id,
    anchor: { id: call.anchorId, installationId: call.installationId },
  });
  await tx.insert(approvals).values({
    id: approvalId,
    organizationId,
    sessionId,
    actionId,
    publicationId: setting.publicationId,
    provider: call.provider,
    hash,
    askers,
    rules: { approvers: rules.approvers, needed: rules.needed, self: rules.self },
    shown,
    promptActionId,
    expiresAt: sql`now() + ${rules.expiresMs} * interval '1 millisecond'`,
  });
  return { kind: 'waiting', actionId, approvalId };
}

/** Who may decide, and until when. Pure. */
export function rulesInWords(rules: PolicyRules['approvals'], reason: string): string {
  const who = rules.approvers === null ? 'people with authority here' : 'the people on the list of approvers';
  const many = rules.needed === 1 ? 'One' : String(rules.needed);
  const but = rules.self ? '' : ', but not who asked for it';
  const minutes = Math.round(rules.expiresMs / 60_000);
  const time = minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`;
  return `${reason} ${many} of ${who} must approve${but}, within ${time}.`;
}
