import {
  type Logger,
  LogLevel,
  WebAPIHTTPError,
  WebAPIPlatformError,
  WebAPIRateLimitedError,
  WebClient,
} from '@slack/web-api';
import { ProviderError } from '../provider.ts';
import { networkError, providerErrorIn, vendorFetch } from '../vendor-fetch.ts';

/** The SDK would print parts of messages; what is worth telling comes back as an error. */
const silent: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  setLevel() {},
  getLevel: () => LogLevel.ERROR,
  setName() {},
};

const clients = new WeakMap<typeof fetch, WebClient>();

/** Slack's official client. It knows no token (`send` puts it on) and never repeats a call by itself. */
export function slackClient(send: typeof fetch): WebClient {
  const known = clients.get(send);
  if (known) return known;
  const client = new WebClient(undefined, {
    fetch: vendorFetch(send),
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    allowAbsoluteUrls: false,
    logger: silent,
  });
  clients.set(send, client);
  return client;
}

const unauthorized = new Set([
  'invalid_auth',
  'not_authed',
  'account_inactive',
  'token_revoked',
  'token_expired',
  'org_login_required',
  'team_access_not_granted',
]);
const rateLimited = new Set(['ratelimited', 'rate_limited', 'message_limit_exceeded']);
/** Slack says of these that part of the work may have been done. */
const unavailable = new Set([
  'internal_error',
  'fatal_error',
  'request_timeout',
  'service_unavailable',
  'team_added_to_org',
]);

/** Runs a call of the Web API; what it throws is a ProviderError in Slack's words. */
export async function callSlack<T>(method: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw slackError(method, error);
  }
}

/** Slack's own name of why it refused (`channel_not_found`), when this is such an error. */
export function slackErrorName(error: unknown): string | undefined {
  const cause = error instanceof ProviderError ? error.cause : error;
  return cause instanceof WebAPIPlatformError ? cause.data.error : undefined;
}

function slackError(method: string, error: unknown): ProviderError {
  const known = providerErrorIn(error);
  if (known) return known;
  if (error instanceof WebAPIRateLimitedError) {
    return new ProviderError('rate_limited', `Slack limits ${method} for ${error.retryAfter} s.`, {
      retryAfterMs: error.retryAfter * 1000,
      cause: error,
    });
  }
  if (error instanceof WebAPIPlatformError) return platformError(method, error);
  if (error instanceof WebAPIHTTPError) {
    const message = `Slack answered ${method} with HTTP ${error.statusCode}.`;
    if (error.statusCode === 401) return new ProviderError('unauthorized', message, { cause: error });
    if (error.statusCode < 500 && error.statusCode !== 408) {
      return new ProviderError('refused', message, { cause: error });
    }
    const retryAfterSeconds = Number(error.headers['retry-after']);
    return new ProviderError('unavailable', message, {
      mayHaveArrived: true,
      cause: error,
      ...(retryAfterSeconds > 0 ? { retryAfterMs: retryAfterSeconds * 1000 } : {}),
    });
  }
  // The SDK has no class of its own for a 429 that does not say how long.
  if (error instanceof Error && error.message.startsWith('Retry header did not contain')) {
    return new ProviderError('rate_limited', `Slack limits ${method}.`, { cause: error });
  }
  return networkError(error);
}

function platformError(method: string, error: WebAPIPlatformError): ProviderError {
  const name = error.data.error;
  const options = { cause: error };
  if (!/^[\w:.-]{1,100}$/.test(name)) {
    // A page of a proxy in between, with status 200: nobody knows what became of the call.
    return new ProviderError('unavailable', `Slack answered ${method} with something that is not JSON.`, {
      ...options,
      mayHaveArrived: true,
    });
  }
  const needed = 'needed' in error.data && error.data.needed ? ` (needs the scope ${error.data.needed})` : '';
  const words = error.data.response_metadata?.messages?.join('; ');
  const message = `Slack refused ${method}: ${name}${needed}${words ? `: ${words}` : ''}`;
  if (unauthorized.has(name)) return new ProviderError('unauthorized', message, options);
  if (rateLimited.has(name)) return new ProviderError('rate_limited', message, options);
  if (unavailable.has(name)) {
    return new ProviderError('unavailable', message, { ...options, mayHaveArrived: true });
  }
  return new ProviderError('refused', message, options);
}
