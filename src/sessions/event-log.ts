import { sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { withOrganization } from '../store/organization.ts';
import { sessionEvents } from '../store/schema.ts';
import { assertLease, type Lease } from './lease.ts';

/** The channel on which readers of event streams listen; its payload is the session's id. */
export const eventsChannel = 'tagalong_events';

export interface NewEvent {
  /** Given where the caller must know it beforehand. */
  id?: string;
  /** A type of the Managed Agents API, or one of ours with the prefix `tagalong.`. */
  type: string;
  payload: Record<string, unknown>;
  /** Null while a user's message waits. */
  processedAt?: Date | null;
}

/** Appends events in this transaction and tells the readers when it commits. */
export async function appendEvents(
  tx: Transaction,
  organizationId: string,
  sessionId: string,
  turnId: string | null,
  events: readonly NewEvent[],
): Promise<void> {
  if (events.length === 0) return;
  await tx.insert(sessionEvents).values(
    events.map((event) => ({
      id: event.id ?? newId('sevt'),
      organizationId,
      sessionId,
      turnId,
      type: event.type,
      payload: event.payload,
      ...(event.processedAt === undefined ? {} : { processedAt: event.processedAt }),
    })),
  );
  await tx.execute(sql`select pg_notify(${eventsChannel}, ${sessionId})`);
}

/**
 * Writes the events of a running turn in order, off the path of the agent: what arrives while one transaction runs
 * goes into the next. Each transaction checks the lease.
 */
export class TurnLog {
  readonly #database: Database;
  readonly #lease: Lease;
  readonly #turnId: string;
  #waiting: NewEvent[] = [];
  #writing: Promise<void> | undefined;
  #failure: unknown;

  constructor(database: Database, lease: Lease, turnId: string) {
    this.#database = database;
    this.#lease = lease;
    this.#turnId = turnId;
  }

  add(...events: NewEvent[]): void {
    this.#waiting.push(...events);
    this.#writing ??= this.#drain();
  }

  /** Resolves when all that was added is committed. @throws LeaseLostError, or what the database said. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#failure) throw this.#failure;
  }

  async #drain(): Promise<void> {
    // One tick, so that what one chunk of the agent's output brings shares a transaction.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting;
        this.#waiting = [];
        await withOrganization(this.#database, this.#lease.organizationId, async (tx) => {
          await assertLease(tx, this.#lease);
          await appendEvents(tx, this.#lease.organizationId, this.#lease.sessionId, this.#turnId, batch);
        });
      }
    } catch (error) {
      this.#failure ??= error;
      this.#waiting = [];
    } finally {
      this.#writing = undefined;
    }
  }
}
