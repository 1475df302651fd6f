import type { Context } from 'hono';
import { getCookie } from 'hono/cookie';
import { createMiddleware } from 'hono/factory';
import type { Database } from '../store/connection.ts';
import { findApiKey, findCookie } from './access.ts';
import { ApiError } from './errors.ts';
import { isOwnOrigin } from './host-check.ts';

export const cookieName = 'tagalong_console';

/** Who asks. Found once per request. */
export interface Caller {
  organizationId: string;
  by: 'api_key' | 'cookie';
}

export interface GatewayEnv {
  Variables: { caller: Caller; requestId: string };
}

/** Finds who asks: an API key (`x-api-key`, or as bearer, which the SDKs send), else the console's cookie. */
export async function authenticate(c: Context, database: Database, now: Date): Promise<Caller | undefined> {
  const key = apiKeyOf(c);
  if (key !== undefined) {
    const found = await findApiKey(database, key);
    return found && { organizationId: found.organizationId, by: 'api_key' };
  }
  const cookie = getCookie(c, cookieName);
  if (cookie === undefined) return undefined;
  const found = await findCookie(database, cookie, now);
  return found && { organizationId: found.organizationId, by: 'cookie' };
}

function apiKeyOf(c: Context): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1];
  return c.req.header('x-api-key') ?? bearer;
}

/** Guards the REST API: 401 without a valid key or cookie, 403 for a cookie that a foreign page made the browser send. */
export function requireCaller(database: Database, clock: () => Date) {
  return createMiddleware<GatewayEnv>(async (c, next) => {
    const caller = await authenticate(c, database, clock());
    if (!caller) {
      throw new ApiError(
        'authentication_error',
        'No valid API key. Send one as x-api-key or as Authorization: Bearer, or open the console by its one-time link.',
      );
    }
    if (caller.by === 'cookie' && !fromOwnPage(c)) {
      throw new ApiError(
        'permission_error',
        "This request carries the console's cookie but does not come from a page of the console.",
      );
    }
    c.set('caller', caller);
    await next();
  });
}

function fromOwnPage(c: Context): boolean {
  return isOwnOrigin({
    method: c.req.method,
    host: c.req.header('host'),
    origin: c.req.header('origin'),
    secFetchSite: c.req.header('sec-fetch-site'),
  });
}
