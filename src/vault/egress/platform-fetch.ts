import { Pool, fetch as undiciFetch } from 'undici';
import { type PlatformPrincipal, privateHeaders } from './protocol.ts';

export interface PlatformFetchOptions {
  socketPath: string;
  principal: PlatformPrincipal;
  /** Resolves when the egress process is up; rejects after its own patience. */
  ready: () => Promise<unknown>;
  /** How long a request that reached nobody is tried again. */
  patienceMs: number;
}

const pools = new Map<string, Pool>();
const bodiless = new Set([101, 204, 205, 304]);
const maxRedirects = 3;
const redirects = new Set([301, 302, 303, 307, 308]);

/** One pool per socket: the worker makes a fetch per call of an adapter. */
function poolFor(socketPath: string): Pool {
  const known = pools.get(socketPath);
  if (known) return known;
  const pool = new Pool('http://egress', { socketPath, connections: 128, keepAliveTimeout: 30_000 });
  pools.set(socketPath, pool);
  return pool;
}

/**
 * A `fetch` whose requests go to the egress process and carry this principal's token from there. Takes what `fetch`
 * takes: URLs, Requests, streams, AbortSignals. Redirects of GET and HEAD are followed within the same origin only;
 * any other redirect is the answer. While the egress process is down, a request waits for it. One that broke off is
 * repeated when it only reads; any other may have arrived, and rejects with a TypeError like any broken fetch.
 */
export function createPlatformFetch(options: PlatformFetchOptions): typeof fetch {
  return async (input, init) => {
    const { request, body } = await settle(input, init);
    let target = request.url.split('#', 1)[0] ?? '';
    for (let redirected = 0; ; redirected++) {
      const response = await send(options, request, target, body);
      const next = follows(request, response, target, redirected);
      if (!next) return wrap(response, target, redirected > 0);
      await response.body?.cancel();
      target = next;
    }
  };
}

type Body = ReadableStream | ArrayBuffer | null;

/** Bodies of known length are read first, so that they are sent with it and can be sent again by the other side. */
async function settle(
  input: RequestInfo | URL,
  init?: RequestInit,
): Promise<{ request: Request; body: Body }> {
  const streams = init?.body instanceof ReadableStream;
  const request = new Request(input, streams ? ({ duplex: 'half', ...init } as RequestInit) : init);
  if (request.body === null) return { request, body: null };
  return { request, body: streams ? request.body : await request.arrayBuffer() };
}

async function send(options: PlatformFetchOptions, request: Request, target: string, body: Body) {
  const { socketPath, principal, ready, patienceMs } = options;
  const headers = [...request.headers, ...platformHeaders(principal, target)] as [string, string][];
  const end = Date.now() + patienceMs;
  for (;;) {
    await abortable(ready(), request.signal);
    try {
      return await undiciFetch('http://egress/', {
        method: request.method,
        headers,
        body,
        ...(body instanceof ReadableStream ? { duplex: 'half' as const } : {}),
        redirect: 'manual',
        signal: request.signal,
        dispatcher: poolFor(socketPath),
      });
    } catch (error) {
      const code = String((error as { cause?: { code?: unknown } }).cause?.code);
      if (!mayRepeat(request.method, code) || body instanceof ReadableStream || Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

/** What reached nobody may be sent again; what broke off only where asking twice is asking once. */
function mayRepeat(method: string, code: string): boolean {
  if (code === 'ECONNREFUSED' || code === 'ENOENT') return true;
  const reads = method === 'GET' || method === 'HEAD';
  return reads && (code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET');
}

function platformHeaders(principal: PlatformPrincipal, target: string): [string, string][] {
  return [
    [privateHeaders.organization, principal.organizationId],
    [privateHeaders.installation, principal.installationId],
    [privateHeaders.target, target],
  ];
}

function follows(
  request: Request,
  response: Awaited<ReturnType<typeof undiciFetch>>,
  target: string,
  redirected: number,
): string | undefined {
  const location = response.headers.get('location');
  const plain = request.method === 'GET' || request.method === 'HEAD';
  if (!location || !redirects.has(response.status) || request.redirect !== 'follow' || !plain)
    return undefined;
  if (redirected >= maxRedirects || !URL.canParse(location, target)) return undefined;
  const next = new URL(location, target);
  return next.origin === new URL(target).origin ? next.href : undefined;
}

/** As the platform's own Response, which SDKs check for, under the URL that was meant. */
function wrap(response: Awaited<ReturnType<typeof undiciFetch>>, url: string, redirected: boolean): Response {
  const { status, statusText } = response;
  const body = bodiless.has(status) ? null : (response.body as ReadableStream | null);
  const wrapped = new Response(body, {
    status,
    statusText,
    headers: [...response.headers] as [string, string][],
  });
  Object.defineProperty(wrapped, 'url', { value: url });
  Object.defineProperty(wrapped, 'redirected', { value: redirected });
  return wrapped;
}

/** Waits, but not longer than the caller does. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise
      .then(resolve, (cause) => reject(new TypeError('fetch failed', { cause })))
      .finally(() => {
        signal.removeEventListener('abort', abort);
      });
  });
}
