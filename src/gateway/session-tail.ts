import { and, asc, desc, eq, gt } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { sessionEvents } from '../store/schema.ts';

export type EventRow = typeof sessionEvents.$inferSelect;

/** Longer than any transaction that appends to a log takes. */
const settleMs = 10_000;
const maxRows = 500;

/**
 * Follows one session's log from now on: each `next` answers the events that it has not answered before, in the log's
 * order as far as it is known. Positions are given out before the commit, so that a lower one can become visible after a
 * higher: for a while the tail reads back over what it has seen, and knows it by its id.
 */
export class SessionTail {
  readonly #database: Database;
  readonly #organizationId: string;
  readonly #sessionId: string;
  readonly #clock: () => Date;
  readonly #seen = new Map<string, { position: number; at: number }>();
  #floor = 0;

  constructor(database: Database, organizationId: string, sessionId: string, clock: () => Date) {
    this.#database = database;
    this.#organizationId = organizationId;
    this.#sessionId = sessionId;
    this.#clock = clock;
  }

  /** Takes what is in the log already for seen. */
  async skipToEnd(): Promise<void> {
    const rows = await withOrganization(this.#database, this.#organizationId, (tx) =>
      tx
        .select({ id: sessionEvents.id, position: sessionEvents.position })
        .from(sessionEvents)
        .where(eq(sessionEvents.sessionId, this.#sessionId))
        .orderBy(desc(sessionEvents.position))
        .limit(100),
    );
    const at = this.#clock().getTime();
    for (const { id, position } of rows) this.#seen.set(id, { position, at });
    this.#floor = (rows.at(-1)?.position ?? 1) - 1;
  }

  async next(): Promise<EventRow[]> {
    const fresh: EventRow[] = [];
    for (let after = this.#floor; ; ) {
      const rows = await this.#read(after);
      const at = this.#clock().getTime();
      for (const row of rows) {
        if (this.#seen.has(row.id)) continue;
        this.#seen.set(row.id, { position: row.position, at });
        fresh.push(row);
      }
      const last = rows.at(-1);
      if (rows.length < maxRows || !last) break;
      after = last.position;
    }
    this.#settle();
    return fresh;
  }

  #read(after: number): Promise<EventRow[]> {
    return withOrganization(this.#database, this.#organizationId, (tx) =>
      tx
        .select()
        .from(sessionEvents)
        .where(and(eq(sessionEvents.sessionId, this.#sessionId), gt(sessionEvents.position, after)))
        .orderBy(asc(sessionEvents.position))
        .limit(maxRows),
    );
  }

  #settle(): void {
    const settled = this.#clock().getTime() - settleMs;
    for (const [id, { position, at }] of this.#seen) {
      if (at > settled) continue;
      this.#seen.delete(id);
      this.#floor = Math.max(this.#floor, position);
    }
  }
}
