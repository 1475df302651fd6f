import {
  type LinearError,
  LinearErrorType,
  LinearSdk,
  parseLinearError,
  RatelimitedLinearError,
} from '@linear/sdk';
import { ProviderError } from '../provider.ts';
import { networkError, providerErrorIn, vendorFetch } from '../vendor-fetch.ts';

const endpoint = 'https://api.linear.app/graphql';

const clients = new WeakMap<typeof fetch, LinearSdk>();

/**
 * Linear's official SDK over a fetch of ours: its own client knows only the global one. It knows no token (`send` puts
 * it on) and never repeats a call by itself.
 */
export function linearClient(send: typeof fetch): LinearSdk {
  const known = clients.get(send);
  if (known) return known;
  const bounded = vendorFetch(send);
  const client = new LinearSdk(async <Response>(query: string, variables?: Record<string, unknown>) => {
    const response = await bounded(endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'tagalong' },
      body: JSON.stringify({ query, variables }),
    });
    const result = await readJson(response);
    if (response.ok && result.data && !result.errors) return result.data as Response;
    // The shape that the SDK's own client gives to it.
    throw parseLinearError({
      request: { query, variables: variables ?? {} },
      response: { ...result, status: response.status, headers: response.headers },
    } as unknown as Parameters<typeof parseLinearError>[0]);
  });
  clients.set(send, client);
  return client;
}

async function readJson(response: Response): Promise<{ data?: unknown; errors?: unknown[]; error?: string }> {
  const text = await response.text();
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // A page of a proxy in between.
  }
  return { error: text.slice(0, 500) };
}

/** Runs an SDK call; what it throws is a ProviderError in Linear's words. `now` is milliseconds since the epoch. */
export async function callLinear<T>(what: string, call: () => Promise<T>, now = Date.now): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw linearError(what, error, now());
  }
}

/** Whether Linear says that what was asked for does not exist. */
export function isNotFound(error: unknown): boolean {
  return (
    error instanceof ProviderError &&
    error.code === 'refused' &&
    /not found|could not find/i.test(error.message)
  );
}

const transient = new Set<LinearErrorType | undefined>([
  LinearErrorType.NetworkError,
  LinearErrorType.InternalError,
  LinearErrorType.LockTimeout,
  LinearErrorType.BootstrapError,
]);

function linearError(what: string, error: unknown, nowMs: number): ProviderError {
  const known = providerErrorIn(error);
  if (known) return known;
  if (!isLinearError(error)) return networkError(error);
  const words = error.errors?.map((each) => each.message).join('; ') || `HTTP ${error.status}`;
  const message = `Linear refused ${what}: ${words}`;
  // Limits come as HTTP 400 with a code of their own; their resets are epoch milliseconds.
  if (error instanceof RatelimitedLinearError) {
    const retryAfterMs = limitMs(error, nowMs);
    return new ProviderError('rate_limited', message, {
      cause: error,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
  const status = error.status ?? 0;
  const isTold = (error.errors?.length ?? 0) > 0;
  // Without errors in it, the SDK takes every 4xx for a matter of authentication.
  if (status === 401 || (isTold && error.type === LinearErrorType.AuthenticationError)) {
    return new ProviderError('unauthorized', message, { cause: error });
  }
  if (status >= 500 || (isTold && transient.has(error.type)) || (status >= 200 && status < 300 && !isTold)) {
    return new ProviderError('unavailable', message, { cause: error, mayHaveArrived: true });
  }
  return new ProviderError('refused', message, { cause: error });
}

function isLinearError(error: unknown): error is LinearError {
  return error instanceof Error && 'raw' in error && 'errors' in error;
}

function limitMs(error: RatelimitedLinearError, nowMs: number): number | undefined {
  if (error.retryAfter !== undefined && error.retryAfter >= 0) return error.retryAfter * 1000;
  const resets = [
    error.requestsRemaining === 0 ? error.requestsResetAt : undefined,
    error.complexityRemaining === 0 ? error.complexityResetAt : undefined,
  ].filter((reset) => reset !== undefined);
  const resetAtMs =
    resets.length > 0 ? Math.max(...resets) : (error.requestsResetAt ?? error.complexityResetAt);
  return resetAtMs === undefined ? undefined : Math.max(resetAtMs - nowMs, 1_000);
}
