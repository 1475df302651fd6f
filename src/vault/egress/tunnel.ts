import type { EgressParts, RecordStart } from './parts.ts';
import type { ProxySession } from './proxy-session.ts';

/** Where a session's connection leads: fixed when it was opened, and checked on every request in it. */
export interface Tunnel {
  session: ProxySession;
  host: string;
  port: number;
  scheme: 'http' | 'https';
  /** Whether a request came through it. */
  used: boolean;
}

/** One through which nothing came yet. */
export function newTunnel(
  session: ProxySession,
  host: string,
  port: number,
  scheme: Tunnel['scheme'],
): Tunnel {
  return { session, host, port, scheme, used: false };
}

/** The beginning of a record of what comes through a tunnel. */
export function startOf(
  parts: EgressParts,
  { session, host, port, scheme }: Pick<Tunnel, 'session' | 'host' | 'port' | 'scheme'>,
  method: string,
  url = '',
): RecordStart {
  const { organizationId, sessionId, turnId } = session;
  const whose = { organizationId, sessionId, turnId, installationId: null };
  const path = url.split('?', 1)[0] ?? '';
  return { ...whose, at: new Date(parts.now()), method, scheme, host, port, path };
}
