import { eventsChannel } from '../sessions/event-log.ts';
import { listen, type Subscription } from '../store/listen.ts';

/**
 * Tells subscribers that a session's log has grown. One listening connection for the process, made at the first
 * subscription; when it breaks it is made again, and all are woken, since what was said meanwhile is lost. A hint
 * only: subscribers look by themselves now and then.
 */
export class EventFeed {
  readonly #databaseUrl: string;
  readonly #subscribers = new Map<string, Set<() => void>>();
  #listening: Subscription | undefined;
  #closed = false;

  constructor(databaseUrl: string) {
    this.#databaseUrl = databaseUrl;
  }

  /** Calls `wake` after each growth of the session's log, until the answer is called. */
  subscribe(sessionId: string, wake: () => void): () => void {
    const wakes = this.#subscribers.get(sessionId) ?? new Set();
    this.#subscribers.set(sessionId, wakes.add(wake));
    if (!this.#closed) {
      this.#listening ??= listen(
        this.#databaseUrl,
        eventsChannel,
        (grown) => this.#wake(grown),
        () => this.#wakeAll(),
      );
    }
    return () => {
      wakes.delete(wake);
      if (wakes.size === 0) this.#subscribers.delete(sessionId);
    };
  }

  /** Ends the connection. Nobody is woken any more. */
  close(): void {
    this.#closed = true;
    this.#listening?.close();
  }

  #wakeAll(): void {
    for (const sessionId of this.#subscribers.keys()) this.#wake(sessionId);
  }

  #wake(sessionId: string): void {
    for (const wake of this.#subscribers.get(sessionId) ?? []) wake();
  }
}
