import { keepNewest } from '../vault/keep-newest.ts';

export interface CacheOptions<T> {
  /** How long a value is believed. */
  ttlMs(value: T): number;
  maxEntries: number;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Values of a provider that are asked for often. Concurrent askers of one key share one question. */
export interface Cache<T> {
  /** The known value (unless it must be fresh), or what `load` gives. What `load` throws is thrown to all who wait, and not kept. */
  get(key: string, load: () => Promise<T>, options?: { fresh?: boolean }): Promise<T>;
}

/** A bounded cache that forgets what was used least lately. */
export function createCache<T>(options: CacheOptions<T>): Cache<T> {
  const entries = new Map<string, { value: Promise<T>; expiresAtMs: number }>();
  return {
    async get(key, load, asked) {
      const known = entries.get(key);
      if (known && !asked?.fresh && known.expiresAtMs > options.now()) {
        entries.delete(key);
        entries.set(key, known);
        return known.value;
      }
      const entry = { value: load(), expiresAtMs: Number.POSITIVE_INFINITY };
      keepNewest(entries, key, entry, options.maxEntries);
      try {
        const value = await entry.value;
        entry.expiresAtMs = options.now() + options.ttlMs(value);
        return value;
      } catch (error) {
        if (entries.get(key) === entry) entries.delete(key);
        throw error;
      }
    },
  };
}
