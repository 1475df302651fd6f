/** So many calls a minute per key, with bursts up to the whole minute's number. */
export interface RateLimit {
  /** Takes one; undefined when it was granted, else the milliseconds until the next one is. */
  take(key: string): number | undefined;
}

/** Token buckets in memory; a key that has been quiet for a minute is forgotten. */
export function createRateLimit(perMinute: number, clock: () => Date): RateLimit {
  const buckets = new Map<string, { tokens: number; at: number }>();
  const perMs = perMinute / 60_000;
  let forgottenAt = clock().getTime();
  const forget = (now: number) => {
    if (now - forgottenAt < 60_000) return;
    forgottenAt = now;
    for (const [key, bucket] of buckets) if (now - bucket.at >= 60_000) buckets.delete(key);
  };
  return {
    take(key) {
      const now = clock().getTime();
      forget(now);
      const bucket = buckets.get(key) ?? { tokens: perMinute, at: now };
      const tokens = Math.min(perMinute, bucket.tokens + Math.max(0, now - bucket.at) * perMs);
      buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
      return tokens >= 1 ? undefined : Math.ceil((1 - tokens) / perMs);
    },
  };
}
