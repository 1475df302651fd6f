import { and, asc, eq, gt, ne, or, sql } from 'drizzle-orm';
import { type PresencePhase, type ProviderContext, ProviderError } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import type { Jobs } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import { anchors, installations, messages, type TurnState, turns } from '../store/schema.ts';
import { boundedFetch, untilAborted } from './bounded-fetch.ts';
import type { OutboundDependencies } from './dependencies.ts';

export interface PresenceDependencies extends OutboundDependencies {
  sleep?: (ms: number) => Promise<void>;
}

export type PresenceOutcome = 'shown' | 'too_late' | 'failed';

/** Waits between the tries, and the longest that one try may take. */
const waitsMs = [300, 1_500];
const longestRetryAfterMs = 5_000;
const tryMs = 10_000;
/** How often what was shown is put right when the world goes on meanwhile. */
const maxRounds = 4;

/** The `presence` job. It never fails: presence is a courtesy, and the reply does not depend on it. */
export function createPresenceJob(
  dependencies: PresenceDependencies,
): (job: Jobs['presence']) => Promise<void> {
  return async (job) => {
    await showPresence(dependencies, job);
  };
}

/**
 * Shows that the agent works, is done, or failed. `working` is not shown any more once the message's turn has ended, and
 * the end of a turn does not hide that the agent already works on a later message in the same place, however late it is
 * told: what came later is shown again after it.
 * Tried up to three times, within seconds; what fails is logged. Never rejects.
 */
export async function showPresence(
  dependencies: PresenceDependencies,
  job: Jobs['presence'],
): Promise<PresenceOutcome> {
  const { logger, sleep = delay } = dependencies;
  const about = { anchorId: job.anchorId, messageId: job.messageId, phase: job.phase };
  for (let tried = 0; ; tried++) {
    try {
      return await tryOnce(dependencies, job);
    } catch (error) {
      const code = error instanceof ProviderError ? error.code : 'unexpected';
      const waitMs = waitsMs[tried];
      const retryAfterMs = error instanceof ProviderError ? (error.retryAfterMs ?? 0) : 0;
      const final = code === 'refused' || code === 'unauthorized' || retryAfterMs > longestRetryAfterMs;
      if (final || waitMs === undefined) {
        logger.warn({ ...about, code }, 'presence could not be shown');
        return 'failed';
      }
      await sleep(Math.max(waitMs, retryAfterMs));
    }
  }
}

async function tryOnce(
  { database, adapters, platformFetch }: PresenceDependencies,
  { organizationId, anchorId, messageId, phase, text }: Jobs['presence'],
): Promise<PresenceOutcome> {
  const found = await withOrganization(database, organizationId, (tx) => load(tx, anchorId, messageId));
  if (!found) return 'too_late';
  const { anchor, installation, message, turnState } = found;
  if (phase === 'working' && (message.state === 'done' || hasEnded(turnState))) return 'too_late';
  const deadline = AbortSignal.timeout(tryMs);
  const context: ProviderContext = {
    fetch: boundedFetch(platformFetch({ organizationId, installationId: installation.id }), deadline),
    identity: installation.identity,
  };
  const adapter = adapters[anchor.provider];
  const show = ({ place }: MessageRow, now: PresencePhase, words?: string) => {
    const hasPlace = Object.keys(place).length > 0;
    const target = { place: anchor.place, ...(hasPlace && { message: place }) };
    return untilAborted(adapter.presence(context, target, now, words), deadline);
  };
  await show(message, phase, text);
  // Meanwhile the world went on, and what was shown of it may have been hidden by this, or have come before it.
  for (let shown = { message, phase }, round = 0; round < maxRounds; round++) {
    const next = await withOrganization(database, organizationId, (tx) =>
      shown.phase === 'working' ? ifDone(tx, shown.message) : laterAtWork(tx, anchorId, shown.message),
    );
    if (!next) break;
    shown = { message: next, phase: shown.phase === 'working' ? 'done' : 'working' };
    await show(shown.message, shown.phase);
  }
  return 'shown';
}

type MessageRow = typeof messages.$inferSelect;

/** A message whose end was told while its beginning was still being shown. */
async function ifDone(tx: Transaction, { id }: MessageRow): Promise<MessageRow | undefined> {
  const found = await tx
    .select()
    .from(messages)
    .where(and(eq(messages.id, id), eq(messages.state, 'done')));
  return found[0];
}

/** The first message in this place that came after this one and is not done: the agent is at work on it, or will be. */
async function laterAtWork(
  tx: Transaction,
  anchorId: string,
  { id, createdAt, turnId }: MessageRow,
): Promise<MessageRow | undefined> {
  const found = await tx
    .select()
    .from(messages)
    .where(
      and(
        eq(messages.anchorId, anchorId),
        eq(messages.wakes, true),
        ne(messages.state, 'done'),
        or(gt(messages.createdAt, createdAt), and(eq(messages.createdAt, createdAt), gt(messages.id, id))),
        turnId === null ? undefined : sql`${messages.turnId} is distinct from ${turnId}`,
      ),
    )
    .orderBy(asc(messages.createdAt), asc(messages.id))
    .limit(1);
  return found[0];
}

function hasEnded(state: TurnState | null): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

async function load(tx: Transaction, anchorId: string, messageId: string) {
  const rows = await tx
    .select({ anchor: anchors, installation: installations, message: messages, turnState: turns.state })
    .from(anchors)
    .innerJoin(installations, eq(installations.id, anchors.installationId))
    .innerJoin(messages, and(eq(messages.id, messageId), eq(messages.sessionId, anchors.sessionId)))
    .leftJoin(turns, eq(turns.id, messages.turnId))
    .where(eq(anchors.id, anchorId));
  return rows[0];
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
