import { and, eq, sql } from 'drizzle-orm';
import { readPolicy } from '../capabilities/policy.ts';
import { reputeOf } from '../outbound/authority.ts';
import type { Asked, ProviderAdapter } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { enqueue } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import { actions, deliveries, type MessageAuthor, messages } from '../store/schema.ts';
import { ensureAnchor, findAnchor } from './anchors.ts';
import { type Crossed, crossedBotLimit, crossedLimit, sayOnce } from './authority/limits.ts';
import { type Weight, weigh } from './authority/weigh.ts';
import { keepContext } from './context-message.ts';
import { addMessage } from './messages.ts';
import {
  contextOf,
  type MessageSignal,
  type Outcome,
  type RouteDependencies,
  type Routed,
  whisper,
} from './routing.ts';
import { sayLimit } from './say-limit.ts';

const hintEveryMs = 30 * 24 * 3_600_000;
const hint =
  'I may not take instructions from you here, so I did not start on this. Somebody of this workspace with full membership can ask me, and an admin can change who may.';
const hourMs = 3_600_000;

/** Follows a message: who wrote it → whether it may set the agent to work → anchor → session → message and turn. */
export async function followMessage(
  dependencies: RouteDependencies,
  adapter: ProviderAdapter,
  routed: Routed,
  heard: MessageSignal,
): Promise<Outcome> {
  const { database } = dependencies;
  const { publication } = routed;
  const { organizationId } = publication;
  if (heard.body.trim() === '') return { kind: 'ignored', reason: 'empty_message' };
  const before = await withOrganization(database, organizationId, async (tx) => ({
    anchored: await findAnchor(tx, publication.id, heard.anchor.key),
    isOurs: await isWrittenByUs(tx, routed, heard),
    known: await findMessage(tx, publication.id, heard.externalKey),
  }));
  if (before.known)
    return { kind: 'ignored', reason: 'duplicate_message', sessionId: before.known.sessionId };
  if (before.isOurs) return { kind: 'ignored', reason: 'own_message' };
  if (heard.kind === 'ambient' && !before.anchored) return { kind: 'ignored', reason: 'not_addressed' };

  const weight = await weightOf(dependencies, adapter, routed, heard);
  const signal: MessageSignal = weight.isBot ? { ...heard, author: { ...heard.author, kind: 'bot' } } : heard;
  if (!weight.addresses) return refuse(dependencies, adapter, routed, signal, weight);
  const taken = await takenFromOutsider(dependencies, adapter, routed, signal);

  return withOrganization(database, organizationId, async (tx) => {
    const stop = await obstacle(tx, routed, signal, before.anchored?.anchorId);
    // Its twin may have come in meanwhile, and be what the limit was reached by.
    const twin = stop && (await findMessage(tx, publication.id, signal.externalKey));
    if (twin) return { kind: 'ignored', reason: 'duplicate_message', sessionId: twin.sessionId };
    if (stop?.kind === 'bot') return { kind: 'ignored', reason: `${stop.reason}: ${stop.detail}` };
    if (stop) {
      const said = await sayOnce(tx, organizationId, stop.crossed.key, hourMs);
      if (said) await sayLimit(tx, adapter, routed, signal.anchor, stop.crossed.text);
      return { kind: 'ignored', reason: `limit_reached: ${stop.crossed.text}` };
    }
    return admit(tx, routed, signal, weight, taken);
  });
}

type OutsiderText = NonNullable<MessageSignal['takenUp']> & { author: MessageAuthor };

const nobodyKnown: MessageAuthor = { id: 'unknown', name: 'somebody unknown', kind: 'person' };

/** What an author's words count for here, asking the provider where that is needed. */
async function weightOf(
  dependencies: RouteDependencies,
  adapter: ProviderAdapter,
  routed: Routed,
  who: Asked,
): Promise<Weight> {
  const rules = readPolicy(routed.publication.policy).authority;
  const { named, judgement } = await reputeOf(adapter, contextOf(dependencies, routed), rules, who);
  return weigh({
    rules,
    author: who.author,
    handle: who.authorHint?.login,
    placeNames: adapter.placeNames(who.anchor.place),
    judgement,
    inTeam: named && judgement !== undefined,
  });
}

/** The text that a signal took up, where its writer has no authority or is not known. */
async function takenFromOutsider(
  dependencies: RouteDependencies,
  adapter: ProviderAdapter,
  routed: Routed,
  { takenUp, anchor, author }: MessageSignal,
): Promise<OutsiderText | undefined> {
  if (!takenUp) return undefined;
  const { author: told, authorHint } = takenUp;
  const writer = told
    ? { author: told, ...(authorHint && { authorHint }) }
    : await adapter.writerOf?.(contextOf(dependencies, routed), anchor);
  if (!writer) return { ...takenUp, author: nobodyKnown };
  if (writer.author.id === author.id) return undefined;
  const weight = await weightOf(dependencies, adapter, routed, { ...writer, anchor });
  return weight.authority ? undefined : { ...takenUp, author: writer.author };
}

/** Where a session listens, the words of a person who may not instruct it are kept as context; elsewhere they start nothing. */
async function refuse(
  dependencies: RouteDependencies,
  adapter: ProviderAdapter,
  routed: Routed,
  signal: MessageSignal,
  weight: Weight,
): Promise<Outcome> {
  const { publication } = routed;
  const { organizationId } = publication;
  const { kept, hinted } = await withOrganization(dependencies.database, organizationId, async (tx) => ({
    kept:
      signal.author.kind === 'person' ? await keepContext(tx, routed, signal, weight.authority) : undefined,
    hinted:
      signal.kind === 'addressed' &&
      weight.reason === 'no_authority' &&
      (await sayOnce(tx, organizationId, `hint:${publication.id}:${signal.author.id}`, hintEveryMs)),
  }));
  if (hinted) await whisper(dependencies, adapter, routed, signal, hint);
  const why = [weight.reason, weight.detail].filter(Boolean).join(': ');
  return {
    kind: 'ignored',
    reason: kept ? `${why}; kept for the agent to know` : why,
    ...(kept && { sessionId: kept.sessionId }),
  };
}

type Obstacle = { kind: 'bot'; reason: string; detail: string } | { kind: 'limit'; crossed: Crossed };

async function obstacle(
  tx: Transaction,
  { publication }: Routed,
  signal: MessageSignal,
  anchorId: string | undefined,
): Promise<Obstacle | undefined> {
  const policy = readPolicy(publication.policy);
  if (signal.author.kind === 'bot') {
    const bot = { id: signal.author.id, hops: hopsOf(signal), anchorId };
    const crossed = await crossedBotLimit(tx, policy.authority, bot);
    if (crossed) return { kind: 'bot', ...crossed };
  }
  const crossed = await crossedLimit(tx, policy.limits, { publicationId: publication.id, anchorId });
  return crossed && { kind: 'limit', crossed };
}

/** What a bot wrote is one hop from somewhere, even where it does not say so. */
function hopsOf({ author, hops }: MessageSignal): number {
  return Math.max(hops ?? 0, author.kind === 'bot' ? 1 : 0);
}

async function admit(
  tx: Transaction,
  routed: Routed,
  signal: MessageSignal,
  weight: Weight,
  outsider: OutsiderText | undefined,
): Promise<Outcome> {
  const { publication, installation, delivery } = routed;
  const { organizationId } = publication;
  const { anchorId, sessionId } = await ensureAnchor(tx, publication, installation, signal.anchor);
  const common = {
    organizationId,
    sessionId,
    anchorId,
    publicationId: publication.id,
    deliveryId: delivery.id,
  };
  if (outsider) {
    await addMessage(tx, {
      ...common,
      externalKey: outsider.externalKey,
      author: outsider.author,
      authority: false,
      wakes: false,
      body: outsider.body,
      place: {},
    });
  }
  const added = await addMessage(tx, {
    ...common,
    externalKey: signal.externalKey,
    author: signal.author,
    authority: weight.authority,
    hops: hopsOf(signal),
    body: outsider ? outsider.instead : signal.body,
    place: signal.place,
  });
  if (!added) return { kind: 'ignored', reason: 'duplicate_message', sessionId };
  const { messageId } = added;
  const presence = { organizationId, anchorId, messageId, phase: 'working' } as const;
  await enqueue(tx, 'presence', presence, { maxAttempts: 4 });
  // Why somebody without authority was heard, for who wonders.
  const reason = weight.authority ? undefined : `let_in: ${weight.detail ?? signal.author.id}`;
  await tx
    .update(deliveries)
    .set({ outcome: 'routed', reason: reason ?? null, sessionId, settledAt: new Date() })
    .where(eq(deliveries.id, delivery.id));
  return { kind: 'routed', sessionId, ...(reason !== undefined && { reason }) };
}

/** The message that an earlier delivery told of already. */
async function findMessage(tx: Transaction, publicationId: string, externalKey: string) {
  const found = await tx
    .select({ sessionId: messages.sessionId })
    .from(messages)
    .where(and(eq(messages.publicationId, publicationId), eq(messages.externalKey, externalKey)));
  return found[0];
}

/** Whether an action of ours made this message, whoever the provider says wrote it. */
async function isWrittenByUs(
  tx: Transaction,
  { installation }: Routed,
  signal: MessageSignal,
): Promise<boolean> {
  if (!signal.written) return false;
  const found = await tx
    .select({ id: actions.id })
    .from(actions)
    .where(
      and(
        eq(actions.installationId, installation.id),
        sql`${actions.result} ? 'ref'`,
        sql`${actions.result}->'ref' @> ${JSON.stringify(signal.written)}::jsonb`,
      ),
    )
    .limit(1);
  return found.length > 0;
}
