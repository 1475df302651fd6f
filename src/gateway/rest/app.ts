import { DrizzleQueryError } from 'drizzle-orm';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { type GatewayEnv, requireCaller } from '../authentication.ts';
import { consoleRoutes } from '../console.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, answerError, newRequestId } from '../errors.ts';
import type { EventFeed } from '../event-feed.ts';
import { publishDoors } from '../publish/doors.ts';
import { handoffDoors } from '../publish/handoff-doors.ts';
import { workplaceRoutes } from '../workplace-proxy.ts';
import { actionRoutes } from './actions.ts';
import { agentRoutes } from './agents.ts';
import { approvalRoutes } from './approvals.ts';
import { credentialGrantRoutes } from './credential-grants.ts';
import { credentialRoutes } from './credentials.ts';
import { deliveryRoutes } from './deliveries.ts';
import { egressRoutes } from './egress.ts';
import { environmentRoutes } from './environments.ts';
import { eventStreamRoutes } from './event-stream.ts';
import { keyRotationRoutes } from './key-rotation.ts';
import { noticeRoutes } from './notices.ts';
import { publicationSetupRoutes } from './publication-setup.ts';
import { publicationRoutes } from './publications.ts';
import { sessionRoutes } from './sessions.ts';
import { vaultRoutes } from './vaults.ts';

export interface RestOptions {
  feed: EventFeed;
  closing: AbortSignal;
  onPublicationChanged(publicationId: string): void;
  wasChallenged(publicationId: string): boolean;
}

const maxBodyBytes = 4 * 1024 * 1024;
/** Errors of connections and of a database that starts or stops: classes 08, 53, 57 and those of sockets. */
const awayCodes = /^(08|53|57)|^(ECONN|EPIPE|ETIMEDOUT)/;

/** The REST API, the way to the workplace, and the console: everything that wants a key or the cookie. */
export function createRestApp(
  deps: GatewayDeps,
  options: RestOptions,
): { app: Hono<GatewayEnv>; close(): Promise<void> } {
  const app = new Hono<GatewayEnv>();

  app.use('*', async (c, next) => {
    c.set('requestId', newRequestId());
    await next();
    c.res.headers.set('request-id', c.var.requestId);
  });
  const limit = bodyLimit({
    maxSize: maxBodyBytes,
    onError: (c) =>
      answerError(c, 'request_too_large', 'The body is larger than 4 MiB.', c.get('requestId') as string),
  });
  // What announces no body has none; the middleware would try to read one of a DELETE, and fail over it.
  app.use('*', (c, next) =>
    (c.req.header('content-length') ?? c.req.header('transfer-encoding')) ? limit(c, next) : next(),
  );
  for (const path of ['/v1/*', '/workplace/api/*']) {
    app.use(path, requireCaller(deps.database, deps.clock));
    app.use(path, async (c, next) => {
      await next();
      c.res.headers.set('cache-control', 'no-store');
      c.res.headers.set('x-content-type-options', 'nosniff');
    });
  }

  agentRoutes(app, deps);
  publicationRoutes(app, deps, options.onPublicationChanged);
  publicationSetupRoutes(app, deps, {
    onChanged: options.onPublicationChanged,
    wasChallenged: options.wasChallenged,
  });
  publishDoors(app, deps, options.onPublicationChanged);
  handoffDoors(app, deps, options.onPublicationChanged);
  deliveryRoutes(app, deps);
  sessionRoutes(app, deps);
  eventStreamRoutes(app, deps, options);
  actionRoutes(app, deps);
  approvalRoutes(app, deps);
  environmentRoutes(app, deps);
  noticeRoutes(app, deps);
  vaultRoutes(app, deps);
  credentialRoutes(app, deps);
  credentialGrantRoutes(app, deps);
  egressRoutes(app, deps);
  keyRotationRoutes(app, deps);
  const workplace = workplaceRoutes(app, deps);
  app.all('/v1/*', (c) => {
    throw new ApiError('not_found_error', `There is no ${c.req.method} ${c.req.path}.`);
  });
  consoleRoutes(app, deps);

  app.notFound((c) =>
    answerError(c, 'not_found_error', `There is no ${c.req.method} ${c.req.path}.`, c.var.requestId),
  );
  app.onError((error, c) => {
    if (error instanceof ApiError) return answerError(c, error.type, error.message, c.var.requestId);
    const code = errorCode(error);
    deps.logger.error(
      { err: rootCause(error), requestId: c.var.requestId, path: c.req.path },
      'a request failed',
    );
    if (code !== undefined && awayCodes.test(code)) {
      return answerError(c, 'unavailable_error', 'The database does not answer. Try again.', c.var.requestId);
    }
    return answerError(
      c,
      'api_error',
      `Something went wrong on our side; the server's log has it as ${c.var.requestId}.`,
      c.var.requestId,
    );
  });
  return { app, close: () => workplace.close() };
}

/** The query builder puts the query's values into its messages; they are nothing for a log. */
function rootCause(error: Error): Error {
  return error instanceof DrizzleQueryError && error.cause instanceof Error ? error.cause : error;
}

/** The database driver's code, also from within the query builder's wrapping. */
function errorCode(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    const { code } = current as { code?: unknown };
    if (typeof code === 'string') return code;
    if (/timeout exceeded when trying to connect|Connection terminated/.test(current.message)) return '08000';
  }
  return undefined;
}
