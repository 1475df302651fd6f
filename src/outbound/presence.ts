import { and, eq } from 'drizzle-orm';
import { type ProviderContext, ProviderError } from '../providers/provider.ts';
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

/** The `presence` job. It never fails: presence is a courtesy, and the reply does not depend on it. */
export function createPresenceJob(
  dependencies: PresenceDependencies,
): (job: Jobs['presence']) => Promise<void> {
  return async (job) => {
    await showPresence(dependencies, job);
  };
}

/**
 * Shows that the agent works, is done, or failed. `working` is not shown any more once the message's turn has ended.
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
  const hasPlace = Object.keys(message.place).length > 0;
  const target = { place: anchor.place, ...(hasPlace && { message: message.place }) };
  await untilAborted(adapters[anchor.provider].presence(context, target, phase, text), deadline);
  return 'shown';
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
