import { keepNewest } from './keep-newest.ts';

interface Entry<T> {
  value: Promise<T>;
  until: number;
}

/**
 * Remembers answers for a moment. Concurrent askers of one key share one reading; a failed reading is not kept. The
 * oldest goes when there are more than `maxEntries`.
 */
export class TimedCache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #ttlMs: number;
  readonly #maxEntries: number;
  readonly #now: () => number;

  constructor(ttlMs: number, maxEntries: number, now: () => number) {
    this.#ttlMs = ttlMs;
    this.#maxEntries = maxEntries;
    this.#now = now;
  }

  get(key: string, read: () => Promise<T>): Promise<T> {
    const known = this.#entries.get(key);
    if (known && known.until > this.#now()) return known.value;
    const entry: Entry<T> = { value: read(), until: this.#now() + this.#ttlMs };
    keepNewest(this.#entries, key, entry, this.#maxEntries);
    entry.value.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    });
    return entry.value;
  }

  /** What is remembered, without reading. */
  peek(key: string): Promise<T> | undefined {
    const known = this.#entries.get(key);
    return known && known.until > this.#now() ? known.value : undefined;
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }
}
