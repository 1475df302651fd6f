import { and, eq, ne } from 'drizzle-orm';
import type { Hono } from 'hono';
import { Agent, fetch as undiciFetch } from 'undici';
import { withOrganization } from '../store/organization.ts';
import { publications } from '../store/schema.ts';
import type { GatewayEnv } from './authentication.ts';
import type { GatewayDeps } from './deps.ts';
import { ApiError } from './errors.ts';

const prefix = '/workplace/api';

/**
 * Passes `/workplace/api/…` on to the emulated workplace, with its secret and without the caller's: only for an
 * organization that has published into it, for all others the path does not exist.
 */
export function workplaceRoutes(app: Hono<GatewayEnv>, deps: GatewayDeps): { close(): Promise<void> } {
  const { database, workplace, logger } = deps;
  // Its event stream may say nothing for as long as it likes.
  const agent = new Agent({ bodyTimeout: 0, headersTimeout: 30_000 });

  app.all(`${prefix}/*`, async (c) => {
    const [emulated] = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx
        .select({ id: publications.id })
        .from(publications)
        .where(and(eq(publications.emulated, true), ne(publications.state, 'unpublished')))
        .limit(1),
    );
    if (!workplace || !emulated) {
      throw new ApiError(
        'not_found_error',
        'There is no emulated workplace: it exists for emulated publications only.',
      );
    }
    const { pathname, search } = new URL(c.req.url);
    const target = `${workplace.apiUrl.replace(/\/$/, '')}${pathname.slice(prefix.length)}${search}`;
    const leaving = new AbortController();
    const leave = () => leaving.abort();
    c.req.raw.signal.addEventListener('abort', leave, { once: true });
    const hasBody = c.req.method !== 'GET' && c.req.method !== 'HEAD';
    try {
      const answer = await undiciFetch(target, {
        method: c.req.method,
        headers: {
          authorization: `Bearer ${workplace.apiSecret}`,
          accept: c.req.header('accept') ?? '*/*',
          ...(hasBody ? { 'content-type': c.req.header('content-type') ?? 'application/json' } : {}),
        },
        body: hasBody ? await c.req.arrayBuffer() : null,
        redirect: 'manual',
        signal: leaving.signal,
        dispatcher: agent,
      });
      // From here on a reader who leaves cancels the stream, which is no error.
      c.req.raw.signal.removeEventListener('abort', leave);
      return new Response(answer.body as ReadableStream | null, {
        status: answer.status,
        headers: {
          'content-type': answer.headers.get('content-type') ?? 'application/octet-stream',
          'cache-control': 'no-store',
          'x-content-type-options': 'nosniff',
        },
      });
    } catch (error) {
      if (!c.req.raw.signal.aborted) logger.warn({ err: error }, 'the emulated workplace does not answer');
      throw new ApiError(
        'unavailable_error',
        'The emulated workplace does not answer. Try again in a moment.',
      );
    }
  });

  return { close: () => agent.destroy() };
}
