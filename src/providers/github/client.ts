import { Octokit } from '@octokit/core';
import { ProviderError } from '../provider.ts';
import { networkError, providerErrorIn, vendorFetch } from '../vendor-fetch.ts';

const apiVersion = '2022-11-28';
/** GitHub's word for a limit that does not say how long: at least a minute. */
const secondaryLimitMs = 60_000;

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const clients = new WeakMap<typeof fetch, Octokit>();

/** GitHub's official client. It knows no token (`send` puts it on) and never repeats a call by itself. */
export function githubClient(send: typeof fetch): Octokit {
  const known = clients.get(send);
  if (known) return known;
  const client = new Octokit({ request: { fetch: vendorFetch(send) }, userAgent: 'tagalong', log: silent });
  // Octokit asks for no dated version by itself.
  client.hook.before('request', (options) => {
    options.headers['x-github-api-version'] = apiVersion;
  });
  clients.set(send, client);
  return client;
}

/** Runs a REST call that answers JSON; what it throws is a ProviderError in GitHub's words. */
export async function callGithub<T extends { data: unknown }>(
  what: string,
  call: () => Promise<T>,
): Promise<T> {
  let answer: T;
  try {
    answer = await call();
  } catch (error) {
    throw githubError(what, error);
  }
  // Octokit hands over a body that broke off, or that is no JSON, as a string.
  if (typeof answer.data === 'object' && answer.data !== null) return answer;
  throw new ProviderError('unavailable', `GitHub answered ${what} with something that is not JSON.`, {
    mayHaveArrived: true,
  });
}

interface ErrorAnswer {
  status: number;
  message: string;
  headers: Readonly<Record<string, string | number | undefined>>;
}

/** The HTTP answer in an Octokit error, when there was one. */
export function githubAnswer(error: unknown): ErrorAnswer | undefined {
  const cause = error instanceof ProviderError ? error.cause : error;
  if (!(cause instanceof Error) || !('status' in cause) || !('response' in cause)) return undefined;
  const { status, response } = cause as { status: unknown; response?: { headers?: ErrorAnswer['headers'] } };
  // Without a response, Octokit makes the status up.
  if (typeof status !== 'number' || !response) return undefined;
  return { status, message: cause.message, headers: response.headers ?? {} };
}

function githubError(what: string, error: unknown): ProviderError {
  const known = providerErrorIn(error);
  if (known) return known;
  const answer = githubAnswer(error);
  if (!answer) return networkError(error);
  const { status } = answer;
  const message = `GitHub answered ${what} with ${status}: ${answer.message}`;
  const waitMs = limitMs(answer);
  if (waitMs !== undefined) {
    return new ProviderError('rate_limited', message, { retryAfterMs: waitMs, cause: error });
  }
  if (status === 401 || /installation (has been )?suspended/i.test(answer.message)) {
    return new ProviderError('unauthorized', message, { cause: error });
  }
  if (status >= 500 || status === 408) {
    const seconds = Number(answer.headers['retry-after']);
    return new ProviderError('unavailable', message, {
      mayHaveArrived: true,
      cause: error,
      ...(seconds > 0 ? { retryAfterMs: seconds * 1000 } : {}),
    });
  }
  return new ProviderError('refused', message, { cause: error });
}

/**
 * How long a limit lasts, or undefined where it is none. 403 and 429 both stand for limits; `retry-after` goes before
 * `x-ratelimit-reset` (epoch seconds), read against GitHub's own clock in `date`.
 * https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
 */
function limitMs({ status, message, headers }: ErrorAnswer): number | undefined {
  if (status !== 403 && status !== 429) return undefined;
  const retryAfterSeconds = Number(headers['retry-after'] ?? Number.NaN);
  if (retryAfterSeconds >= 0) return retryAfterSeconds * 1000;
  if (String(headers['x-ratelimit-remaining']) === '0') {
    const atMs = Number(headers['x-ratelimit-reset']) * 1000 - Date.parse(String(headers.date));
    return Number.isFinite(atMs) ? Math.max(atMs, 1_000) : secondaryLimitMs;
  }
  return status === 429 || /rate limit/i.test(message) ? secondaryLimitMs : undefined;
}
