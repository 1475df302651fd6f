import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { headerValues } from './http1-head.ts';
import type { ProxySession } from './proxy-session.ts';

/** Who a client says it is. */
export interface Presented {
  sessionId: string;
  token: string;
}

const hash = (token: string): Buffer => createHash('sha256').update(token).digest();

/** What stands in for the token of a session that there is not, so that both cost the same. */
const nobody = randomBytes(32);

/**
 * Reads `Proxy-Authorization: Basic <session:token>` or `Bearer <session>.<token>`. Undefined for anything else, also
 * for two of them.
 */
export function readPresented(rawHeaders: readonly string[]): Presented | undefined {
  const [value, ...more] = headerValues(rawHeaders, 'proxy-authorization');
  if (value === undefined || more.length > 0 || value.length > 1_000) return undefined;
  const basic = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(value);
  const pair = basic
    ? Buffer.from(basic[1] ?? '', 'base64').toString('latin1')
    : (/^bearer +([\w.~-]+)$/i.exec(value)?.[1] ?? '').replace('.', ':');
  const match = /^([A-Za-z0-9_-]{1,100}):([A-Za-z0-9_-]{1,200})$/.exec(pair);
  return match?.[1] && match[2] ? { sessionId: match[1], token: match[2] } : undefined;
}

/**
 * A session's token: 256 bits from the private key of its certificate authority. So nothing has to be stored: it is
 * worth something for as long as the authority that the sandbox trusts, which survives a restart of the egress process
 * and ends with the session.
 */
export async function remoteToken({ authority, sessionId }: ProxySession): Promise<string> {
  return (await authority.deriveSecret(`remote-proxy/1/${sessionId}`)).toString('base64url');
}

const hashes = new WeakMap<ProxySession, Promise<Buffer>>();

function tokenHash(session: ProxySession): Promise<Buffer> {
  let known = hashes.get(session);
  if (!known) {
    known = remoteToken(session).then(hash);
    hashes.set(session, known);
  }
  return known;
}

/** Whether this is the token of this session. Takes as long for one that there is not. */
export async function isToken(session: ProxySession | undefined, token: string): Promise<boolean> {
  const right = session ? await tokenHash(session) : nobody;
  return timingSafeEqual(right, hash(token)) && session !== undefined;
}
