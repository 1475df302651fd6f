import type { Pool, PoolClient } from 'pg';
import type { Logger } from 'pino';
import { eventsChannel } from '../sessions/event-log.ts';

/**
 * Tells subscribers that a session's log has grown. One listening connection for the process, made at the first
 * subscription; when it breaks it is made again, and all are woken, since what was said meanwhile is lost. A hint
 * only: subscribers look by themselves now and then.
 */
export class EventFeed {
  readonly #pool: Pool;
  readonly #logger: Logger;
  readonly #subscribers = new Map<string, Set<() => void>>();
  #client: PoolClient | undefined;
  #connecting = false;
  #closed = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(pool: Pool, logger: Logger) {
    this.#pool = pool;
    this.#logger = logger;
  }

  /** Calls `wake` after each growth of the session's log, until the answer is called. */
  subscribe(sessionId: string, wake: () => void): () => void {
    const wakes = this.#subscribers.get(sessionId) ?? new Set();
    this.#subscribers.set(sessionId, wakes.add(wake));
    void this.#connect();
    return () => {
      wakes.delete(wake);
      if (wakes.size === 0) this.#subscribers.delete(sessionId);
    };
  }

  /** Ends the connection. Nobody is woken any more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#client?.release(true);
    this.#client = undefined;
  }

  async #connect(): Promise<void> {
    if (this.#client || this.#connecting || this.#closed) return;
    this.#connecting = true;
    try {
      const client = await this.#pool.connect();
      client.on('notification', ({ channel, payload }) => {
        if (channel === eventsChannel && payload) this.#wake(payload);
      });
      client.once('error', (error) => this.#lost(client, error));
      await client.query(`listen ${eventsChannel}`);
      if (this.#closed) return client.release(true);
      this.#client = client;
      for (const sessionId of this.#subscribers.keys()) this.#wake(sessionId);
    } catch (error) {
      this.#later(error);
    } finally {
      this.#connecting = false;
    }
  }

  #lost(client: PoolClient, error: Error): void {
    if (this.#client === client) this.#client = undefined;
    client.release(true);
    this.#later(error);
  }

  #later(error: unknown): void {
    if (this.#closed) return;
    this.#logger.warn(
      { err: error },
      'the connection that listens for session events broke; it is made again',
    );
    this.#retry = setTimeout(() => void this.#connect(), 1_000);
    this.#retry.unref();
  }

  #wake(sessionId: string): void {
    for (const wake of this.#subscribers.get(sessionId) ?? []) wake();
  }
}
