import { and, desc, eq, inArray } from 'drizzle-orm';
import type { ProviderAdapter, ProviderTool } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { actions, anchors, type ProviderName, publications, turns } from '../store/schema.ts';
import { type Submission, settledOf, submitAction } from './actions.ts';
import { approvalSetting } from './approvals/setting.ts';
import { cleanText } from './clean-text.ts';

/** What an agent says instead of a reply when it wants none posted. */
export const noReply = 'NO_REPLY';

export type NoReplyReason = 'empty' | 'asked_for_none' | 'already_posted' | 'no_place';

/** Why a turn's last message is not posted; undefined when it is to be posted. Pure. */
export function whyNoReply(
  finalMessage: string,
  lastPosted: string | undefined,
): Exclude<NoReplyReason, 'no_place'> | undefined {
  const text = normal(finalMessage);
  if (text === '') return 'empty';
  if (text.replace(/^[`*"']+|[`*"'.]+$/g, '') === noReply) return 'asked_for_none';
  if (lastPosted !== undefined && text === normal(lastPosted)) return 'already_posted';
  return undefined;
}

/**
 * Whether a turn's last message is posted: not when it is empty, `NO_REPLY`, or equal to what the agent last posted in
 * that anchor in this turn. Pure.
 */
export function shouldReply(finalMessage: string, lastPosted: string | undefined): boolean {
  return whyNoReply(finalMessage, lastPosted) === undefined;
}

const normal = (text: string): string => cleanText(text).replaceAll('\r\n', '\n').trim();

export interface ReplyInput {
  organizationId: string;
  turnId: string;
  text: string;
}

export type ReplySubmission = Submission | { kind: 'none'; why: NoReplyReason };

type Adapters = Readonly<Record<ProviderName, ProviderAdapter>>;

/**
 * Posts a turn's last message in the turn's anchor, through gate and outbox, in the transaction that closes the turn.
 * A turn has one reply: submitted again, it answers with the first.
 */
export function submitReply(
  tx: Transaction,
  adapters: Adapters,
  input: ReplyInput,
): Promise<ReplySubmission> {
  return submitClosing(tx, adapters, 'reply', input);
}

/** The same for the one sentence that says that and why the turn failed. */
export function submitFailure(
  tx: Transaction,
  adapters: Adapters,
  input: ReplyInput,
): Promise<ReplySubmission> {
  return submitClosing(tx, adapters, 'failure', input);
}

async function submitClosing(
  tx: Transaction,
  adapters: Adapters,
  toolName: 'reply' | 'failure',
  { organizationId, turnId, text }: ReplyInput,
): Promise<ReplySubmission> {
  const rows = await tx
    .select({
      sessionId: turns.sessionId,
      attempt: turns.attempt,
      anchorId: anchors.id,
      installationId: anchors.installationId,
      place: anchors.place,
      provider: publications.provider,
      grants: publications.capabilities,
      publicationId: publications.id,
      policy: publications.policy,
    })
    .from(turns)
    .innerJoin(anchors, eq(anchors.id, turns.anchorId))
    .innerJoin(publications, eq(publications.id, anchors.publicationId))
    .where(eq(turns.id, turnId));
  const turn = rows[0];
  if (!turn) return { kind: 'none', why: 'no_place' };
  const tool = adapters[turn.provider].tools.find((each) => each.name === toolName);
  if (!tool) throw new Error(`The ${turn.provider} adapter has no tool ${toolName}.`);

  const first = await earlierClosing(tx, turnId, toolName);
  if (first) return first;
  const lastPosted = await lastPostedText(tx, adapters[turn.provider].tools, turnId, {
    id: turn.anchorId,
    place: turn.place,
  });
  const why = toolName === 'reply' ? whyNoReply(text, lastPosted) : undefined;
  if (why) return { kind: 'none', why };
  const { sessionId, attempt, anchorId, installationId, provider, grants } = turn;
  return submitAction(tx, {
    organizationId,
    sessionId,
    provider,
    grants,
    tool,
    arguments: { text },
    turn: { id: turnId, attempt },
    anchor: { id: anchorId, installationId },
    approval: approvalSetting(adapters[provider], turn.publicationId, turn.policy),
  });
}

async function earlierClosing(
  tx: Transaction,
  turnId: string,
  tool: string,
): Promise<Submission | undefined> {
  const found = await tx
    .select({ id: actions.id, state: actions.state, reason: actions.reason, result: actions.result })
    .from(actions)
    .where(and(eq(actions.turnId, turnId), eq(actions.tool, tool)))
    .limit(1);
  const row = found[0];
  if (!row) return undefined;
  if (row.state === 'refused' || row.state === 'waiting')
    return { kind: 'refused', actionId: row.id, reason: row.reason ?? '' };
  return settledOf(row) ?? { kind: 'queued', actionId: row.id };
}

/** The text of the last post that the agent made in this anchor in this turn, sent or on its way. */
async function lastPostedText(
  tx: Transaction,
  tools: readonly ProviderTool[],
  turnId: string,
  anchor: { id: string; place: Record<string, string> },
): Promise<string | undefined> {
  const posting = tools.filter(({ listed, postedText }) => listed && postedText);
  if (posting.length === 0) return undefined;
  const calls = await tx
    .select({ tool: actions.tool, arguments: actions.arguments })
    .from(actions)
    .where(
      and(
        eq(actions.turnId, turnId),
        eq(actions.anchorId, anchor.id),
        inArray(
          actions.tool,
          posting.map(({ name }) => name),
        ),
        inArray(actions.state, ['queued', 'sent']),
      ),
    )
    .orderBy(desc(actions.createdAt), desc(actions.id));
  for (const call of calls) {
    const text = posting.find(({ name }) => name === call.tool)?.postedText?.(call.arguments, anchor.place);
    if (text !== undefined) return text;
  }
  return undefined;
}
