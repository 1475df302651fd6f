import { ProviderError } from './provider.ts';

const defaultTimeoutMs = 20_000;

/** Codes of connections that never came about: nothing can have reached the provider. */
const neverConnected = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/**
 * The fetch that a vendor's SDK is given: bounded in time, and with a ProviderError for what is no answer of the
 * vendor's: a broken connection, a time-out, or the egress process saying no (`x-tagalong-egress`).
 */
export function vendorFetch(send: typeof fetch, timeoutMs = defaultTimeoutMs): typeof fetch {
  return async (input, init) => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = init?.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
    let response: Response;
    try {
      response = await send(input, { ...init, signal });
    } catch (error) {
      throw networkError(error);
    }
    const verdict = response.headers.get('x-tagalong-egress');
    if (verdict === 'refused' || verdict === 'failed') throw await egressError(response, verdict);
    return response;
  };
}

/** A ProviderError for an error below HTTP. */
export function networkError(error: unknown): ProviderError {
  const known = providerErrorIn(error);
  if (known) return known;
  const code = codeIn(error);
  const words = error instanceof Error ? error.message : String(error);
  return new ProviderError(
    'unavailable',
    `The provider gave no usable answer: ${words}${code ? ` (${code})` : ''}`,
    {
      mayHaveArrived: !(code !== undefined && neverConnected.has(code)),
      cause: error,
    },
  );
}

/** The ProviderError that an SDK wrapped in an error of its own, if there is one. */
export function providerErrorIn(error: unknown): ProviderError | undefined {
  return along(error, (link) => (link instanceof ProviderError ? link : undefined));
}

function codeIn(error: unknown): string | undefined {
  return along(error, (link) => ('code' in link && typeof link.code === 'string' ? link.code : undefined));
}

function along<T>(error: unknown, look: (link: object) => T | undefined): T | undefined {
  let link = error;
  for (let depth = 0; depth < 8 && typeof link === 'object' && link !== null; depth++) {
    const found = look(link);
    if (found !== undefined) return found;
    link = 'original' in link ? link.original : 'cause' in link ? link.cause : undefined;
  }
  return undefined;
}

async function egressError(response: Response, verdict: string): Promise<ProviderError> {
  const body: unknown = await response.json().catch(() => undefined);
  const error = (body as { error?: { type?: unknown; message?: unknown } } | undefined)?.error;
  const type = typeof error?.type === 'string' ? error.type : 'unknown';
  const message = `The egress process ${verdict} the call: ${typeof error?.message === 'string' ? error.message : type}`;
  if (verdict === 'refused') return new ProviderError('refused', message);
  // The provider's token endpoint is away: nothing was sent, and nothing is wrong with the authorization.
  if (type === 'credential_unavailable') return new ProviderError('unavailable', message);
  if (type.startsWith('credential_')) return new ProviderError('unauthorized', message);
  return new ProviderError('unavailable', message, { mayHaveArrived: true });
}
