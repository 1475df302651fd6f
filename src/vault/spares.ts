import { setTimeout as sleep } from 'node:timers/promises';

export interface SparesOptions<T> {
  /** How many are kept at most. */
  count: number;
  /** How long after one was taken the next is made: what took it is at work itself. */
  restMs: number;
  make(): Promise<T>;
  /** False for one that came to harm while it waited. */
  isGood(spare: T): boolean;
  /** Undoes one that nobody took. */
  discard(spare: T): Promise<void>;
  onFailure(error: unknown): void;
}

/** Things made ahead, each given away once. Whoever finds none makes one for itself. */
export interface Spares<T> {
  /** One that is good, or undefined. Has another made in its place. */
  take(): T | undefined;
  /** Discards what is left; resolves when nothing of it is there. Nothing is made afterwards. */
  close(): Promise<void>;
}

/** Makes spares one after the other until there are enough. After a failure the next `take` is the next try. */
export function createSpares<T>(options: SparesOptions<T>): Spares<T> {
  const ready: T[] = [];
  const closing = new AbortController();
  let filling: Promise<void> | undefined;
  /** One was taken while others were made. */
  let again = false;

  async function fill(): Promise<void> {
    try {
      await sleep(options.restMs, undefined, { ref: false, signal: closing.signal });
      while (ready.length < options.count && !closing.signal.aborted) ready.push(await options.make());
    } catch (error) {
      if (!closing.signal.aborted) options.onFailure(error);
    }
  }
  function refill(): void {
    if (closing.signal.aborted) return;
    again = filling !== undefined;
    filling ??= fill().finally(() => {
      filling = undefined;
      if (again) refill();
    });
  }
  refill();

  return {
    take() {
      let taken = ready.shift();
      while (taken !== undefined && !options.isGood(taken)) {
        void options.discard(taken);
        taken = ready.shift();
      }
      refill();
      return taken;
    },
    async close() {
      closing.abort();
      await filling;
      await Promise.all(ready.splice(0).map((spare) => options.discard(spare)));
    },
  };
}
