import type { ProviderError } from '../providers/provider.ts';

/** First and longest wait after a failed call that does not say when to come back. */
export const firstWaitMs = 1_000;
export const longestWaitMs = 5 * 60_000;
/** Between tries while the provider does not accept our credential. */
export const unauthorizedWaitMs = 5 * 60_000;

/**
 * When to try a call again: what the provider says, else exponential from `firstWaitMs` to `longestWaitMs`, of which
 * half is chance. Pure.
 *
 * @param attempts tries so far, at least 1
 * @param random from 0 to 1
 */
export function waitMs(
  error: Pick<ProviderError, 'code' | 'retryAfterMs'>,
  attempts: number,
  random: number,
): number {
  if (error.retryAfterMs !== undefined && Number.isFinite(error.retryAfterMs)) {
    return Math.max(0, error.retryAfterMs);
  }
  if (error.code === 'unauthorized') return unauthorizedWaitMs;
  const full = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(attempts - 1, 30));
  return full / 2 + (full / 2) * random;
}
