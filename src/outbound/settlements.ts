import { eq } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { listen } from '../store/listen.ts';
import { withOrganization } from '../store/organization.ts';
import { actions } from '../store/schema.ts';
import { type Submission, settledOf } from './actions.ts';
import { actionsChannel } from './queue.ts';

export type Settled = Extract<Submission, { kind: 'settled' }>;

/** Waits for actions to be settled, by whichever worker sends them. */
export interface Settlements {
  /** What came of the action, or undefined when `timeoutMs` passed or `signal` was aborted first. */
  wait(
    organizationId: string,
    actionId: string,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Settled | undefined>;
  /** Ends the listening; waits that are open go on by polling until they time out. */
  close(): void;
}

/** How often a waiter looks by itself, for the notice that a broken connection loses. */
const pollMs = 1_000;

/** Listens on a connection of its own. */
export function createSettlements(database: Database, databaseUrl: string): Settlements {
  const waiting = new Map<string, Set<() => void>>();
  const wakeAll = () => {
    for (const wakers of waiting.values()) for (const wake of wakers) wake();
  };
  const wake = (actionId: string) => {
    for (const waker of waiting.get(actionId) ?? []) waker();
  };
  const subscription = listen(databaseUrl, actionsChannel, wake, wakeAll);
  const look = async (organizationId: string, actionId: string): Promise<Settled | undefined> => {
    const rows = await withOrganization(database, organizationId, (tx) =>
      tx
        .select({ id: actions.id, state: actions.state, reason: actions.reason, result: actions.result })
        .from(actions)
        .where(eq(actions.id, actionId)),
    );
    return rows[0] && settledOf(rows[0]);
  };

  return {
    async wait(organizationId, actionId, timeoutMs, signal) {
      const endsAt = performance.now() + timeoutMs;
      for (;;) {
        const notice = waitForNotice(waiting, actionId);
        try {
          const settled = await look(organizationId, actionId);
          const leftMs = endsAt - performance.now();
          if (settled || leftMs <= 0 || signal?.aborted) return settled;
          await notice.within(Math.min(leftMs, pollMs), signal);
        } finally {
          notice.forget();
        }
      }
    },
    close: () => subscription.close(),
  };
}

/** Registered at once, so that nothing is missed between looking at the row and waiting. */
function waitForNotice(waiting: Map<string, Set<() => void>>, actionId: string) {
  const woken = Promise.withResolvers<void>();
  const wakers = waiting.get(actionId) ?? new Set();
  waiting.set(actionId, wakers.add(woken.resolve));
  return {
    async within(ms: number, signal: AbortSignal | undefined): Promise<void> {
      const timer = setTimeout(woken.resolve, ms);
      const onAbort = () => woken.resolve();
      signal?.addEventListener('abort', onAbort, { once: true });
      await woken.promise;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    },
    forget(): void {
      wakers.delete(woken.resolve);
      if (wakers.size === 0) waiting.delete(actionId);
    },
  };
}
