/** Nobody is waited for longer, whatever they say. */
const maxWaitMs = 60 * 60_000;

/** What a `Retry-After` header asks for (RFC 9110, section 10.2.3): seconds, or a date. Undefined when it asks nothing. */
export function retryAfterMs(header: unknown, nowMs: number): number | undefined {
  if (typeof header !== 'string') return undefined;
  const wait = /^\d{1,9}$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - nowMs;
  return Number.isFinite(wait) ? Math.min(Math.max(wait, 0), maxWaitMs) : undefined;
}
