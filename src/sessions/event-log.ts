import type { Database } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { appendEvents, eventsChannel, type NewEvent } from '../store/session-events.ts';
import { assertLease, type Lease } from './lease.ts';

export { appendEvents, eventsChannel, type NewEvent };

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
