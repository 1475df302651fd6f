import { and, asc, eq, inArray, sql } from 'drizzle-orm';
import type { Transaction } from '../store/connection.ts';
import { changePublicationState } from '../store/publication-changes.ts';
import {
  actions,
  installations,
  type OutboxState,
  outbox,
  type ProviderName,
  type PublicationState,
  publications,
} from '../store/schema.ts';
import { unauthorizedWaitMs } from './backoff.ts';
import { boundText, cleanRecord, cleanText } from './clean-text.ts';
import { enqueueSend } from './enqueue-send.ts';
import { type AnchorLease, releaseLease } from './lease.ts';

/** Telling waiters that an action is settled: the channel of Postgres' NOTIFY; the payload is the action's id. */
export const actionsChannel = 'tagalong_actions';

/** The oldest open row of an anchor, with the action that it carries. */
export interface OutboxRow {
  id: string;
  actionId: string;
  sessionId: string;
  anchorId: string;
  installationId: string;
  publicationId: string;
  publicationState: PublicationState;
  /** Since when the publication is live again; null where it never ceased to be. */
  resumedAt: string | null;
  provider: ProviderName;
  tool: string;
  arguments: Record<string, unknown>;
  turnId: string | null;
  /** `sending`: an earlier try may have arrived. */
  state: OutboxState;
  mark: string;
  attempts: number;
  notBefore: Date;
  createdAt: Date;
}

/** Told in the same transaction what came of an action. */
export type OnSettled = (
  tx: Transaction,
  actionId: string,
  result: { state: 'sent' | 'failed'; text: string },
) => Promise<void>;

export type Plan = { kind: 'send' } | { kind: 'wait'; until: Date } | { kind: 'fail'; reason: string };

/**
 * What to do with the oldest open row now. A row that was never tried is tried, however late: only tries are bounded
 * by age, and time in which the publication was not live does not count. Pure.
 */
export function planRow(
  row: Pick<OutboxRow, 'publicationState' | 'resumedAt' | 'notBefore' | 'createdAt' | 'state' | 'attempts'>,
  now: Date,
  maxAgeMs: number,
): Plan {
  const tried = row.attempts > 0;
  const waits = row.publicationState === 'needs_reauth' || row.publicationState === 'suspended';
  const since = Math.max(row.createdAt.getTime(), row.resumedAt ? Date.parse(row.resumedAt) : 0);
  if (tried && !waits && now.getTime() - since > maxAgeMs) {
    const unknown = row.state === 'sending' ? ' It may have arrived all the same.' : '';
    return { kind: 'fail', reason: `It could not be sent for ${hours(maxAgeMs)}.${unknown}` };
  }
  if (row.publicationState === 'unpublished') {
    return { kind: 'fail', reason: 'The publication was unpublished before it was sent.' };
  }
  if (tried && row.notBefore > now) return { kind: 'wait', until: row.notBefore };
  if (row.publicationState === 'suspended') {
    return { kind: 'wait', until: new Date(now.getTime() + unauthorizedWaitMs) };
  }
  return { kind: 'send' };
}

function hours(ms: number): string {
  return ms >= 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 1_000)} s`;
}

/**
 * Under the lease: the row to send next, marked `sending` with one attempt more, so that a crash from here on is known
 * to be one of unknown outcome. When nothing can be sent now, gives the lease back, with a job for later where one is
 * needed. `state` and `attempts` of the answer: before this call, and with this attempt.
 */
export async function takeNext(
  tx: Transaction,
  lease: AnchorLease,
  now: Date,
  limits: { maxAgeMs: number; onSettled?: OnSettled },
): Promise<OutboxRow | undefined> {
  for (;;) {
    const row = await oldestOpen(tx, lease.anchorId);
    if (!row) {
      await releaseLease(tx, lease);
      return undefined;
    }
    const plan = planRow(row, now, limits.maxAgeMs);
    if (plan.kind === 'fail') {
      await settleFailed(tx, row, plan.reason);
      await limits.onSettled?.(tx, row.actionId, { state: 'failed', text: plan.reason });
      continue;
    }
    if (plan.kind === 'wait') {
      await enqueueSend(tx, lease.organizationId, lease.anchorId, plan.until);
      await releaseLease(tx, lease);
      return undefined;
    }
    const attempts = row.attempts + 1;
    // Due at once should we die, whatever the clock of the one who finds it.
    await tx
      .update(outbox)
      .set({ state: 'sending', attempts, notBefore: new Date(0) })
      .where(eq(outbox.id, row.id));
    return { ...row, attempts };
  }
}

/** Records that the provider has it. A publication that was taken for unauthorized evidently works again. */
export async function settleSent(
  tx: Transaction,
  row: OutboxRow,
  result: { text: string; ref?: Record<string, string> },
): Promise<void> {
  await tx
    .update(outbox)
    .set({ state: 'sent', sentAt: sql`now()`, lastError: null })
    .where(eq(outbox.id, row.id));
  await settle(
    tx,
    row,
    'sent',
    null,
    cleanRecord({ text: result.text, ...(result.ref && { ref: result.ref }) }),
  );
  if (row.publicationState === 'needs_reauth') {
    await changePublicationState(tx, row.publicationId, 'installed', null, new Date(), 'needs_reauth');
  }
}

/** Records that it will not be sent, and why; the next row goes on. */
export async function settleFailed(tx: Transaction, row: OutboxRow, reason: string): Promise<void> {
  const lastError = bounded(reason);
  await tx.update(outbox).set({ state: 'failed', lastError }).where(eq(outbox.id, row.id));
  await settle(tx, row, 'failed', lastError, null);
}

/** Lets it wait. `mayHaveArrived` keeps it `sending`, so that the next try reconciles first. */
export async function postpone(
  tx: Transaction,
  row: OutboxRow,
  error: { message: string; mayHaveArrived: boolean },
  notBefore: Date,
): Promise<void> {
  const state: OutboxState = error.mayHaveArrived ? 'sending' : 'queued';
  await tx
    .update(outbox)
    .set({ state, notBefore, lastError: bounded(error.message) })
    .where(eq(outbox.id, row.id));
}

/** The provider does not accept our credential: the publication says so, unless it is suspended or over anyway. */
export async function reportUnauthorized(tx: Transaction, row: OutboxRow, message: string): Promise<void> {
  if (row.publicationState !== 'live') return;
  await changePublicationState(tx, row.publicationId, 'revoked', bounded(message), new Date());
}

async function settle(
  tx: Transaction,
  row: OutboxRow,
  state: 'sent' | 'failed',
  reason: string | null,
  result: Record<string, unknown> | null,
): Promise<void> {
  await tx
    .update(actions)
    .set({ state, reason, result, settledAt: sql`now()` })
    .where(eq(actions.id, row.actionId));
  await tx.execute(sql`select pg_notify(${actionsChannel}, ${row.actionId})`);
}

const bounded = (message: string): string => boundText(cleanText(message), 1_000);

async function oldestOpen(tx: Transaction, anchorId: string): Promise<OutboxRow | undefined> {
  const rows = await tx
    .select({
      id: outbox.id,
      actionId: outbox.actionId,
      sessionId: actions.sessionId,
      anchorId: outbox.anchorId,
      installationId: outbox.installationId,
      publicationId: publications.id,
      publicationState: publications.state,
      resumedAt: sql<string | null>`${publications.setup}->>'resumedAt'`,
      provider: actions.provider,
      tool: actions.tool,
      arguments: actions.arguments,
      turnId: actions.turnId,
      state: outbox.state,
      mark: outbox.mark,
      attempts: outbox.attempts,
      notBefore: outbox.notBefore,
      createdAt: outbox.createdAt,
    })
    .from(outbox)
    .innerJoin(actions, eq(actions.id, outbox.actionId))
    .innerJoin(installations, eq(installations.id, outbox.installationId))
    .innerJoin(publications, eq(publications.id, installations.publicationId))
    .where(and(eq(outbox.anchorId, anchorId), inArray(outbox.state, ['queued', 'sending'])))
    .orderBy(asc(outbox.position))
    .limit(1);
  return rows[0];
}
