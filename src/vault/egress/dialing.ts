import { lookup } from 'node:dns/promises';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, getCACertificates } from 'node:tls';
import { isPublicAddress } from './addresses.ts';
import { failed, RefusedError, refuse } from './refusal.ts';

/** All addresses of a name. Called once per connection that is made. */
export type Resolve = (host: string) => Promise<string[]>;

export interface ConnectOptions {
  /** Speak TLS, and check the certificate for this name. Null: plain TCP. */
  servername: string | null;
  timeoutMs: number;
  /** Offer HTTP/2 as well. */
  http2?: boolean;
}

/** Opens a connection to one address. */
export type Connect = (address: string, port: number, options: ConnectOptions) => Promise<Socket>;

const resolveTimeoutMs = 5_000;
const connectTimeoutMs = 10_000;
const maxAddresses = 8;

/** The system's resolver, as `/etc/hosts` and `/etc/resolv.conf` say. */
export const systemResolve: Resolve = async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);

/**
 * Opens TCP and TLS connections; each resolves once it can be written to, and for TLS once the certificate was found
 * right by Node's own authorities or these (PEM).
 */
export function connectTrusting(extraAuthorities: readonly string[] = []): Connect {
  // Made once: reading some hundred certificates for each connection would cost more than the connection.
  const secureContext =
    extraAuthorities.length > 0
      ? createSecureContext({
          ca: [...getCACertificates('default'), ...extraAuthorities],
          minVersion: 'TLSv1.2',
        })
      : undefined;
  return (address, port, { servername, timeoutMs, http2 }) =>
    new Promise((resolve, reject) => {
      const base = { host: address, port, noDelay: true, autoSelectFamily: false };
      const socket =
        servername === null
          ? connectTcp(base)
          : connectTls({
              ...base,
              // An address is no server name; its certificate is checked for the address itself.
              ...(isIP(servername) ? {} : { servername }),
              ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
              ...(secureContext ? { secureContext } : { minVersion: 'TLSv1.2' }),
            });
      const timer = setTimeout(
        () => socket.destroy(Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' })),
        timeoutMs,
      );
      socket.once('error', reject);
      socket.once('close', () => clearTimeout(timer));
      socket.once(servername === null ? 'connect' : 'secureConnect', () => {
        clearTimeout(timer);
        socket.off('error', reject);
        resolve(socket);
      });
    });
}

/** With Node's own authorities. */
export const systemConnect: Connect = connectTrusting();

async function lookUp(resolve: Resolve, host: string): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('lookup timed out')), resolveTimeoutMs);
  });
  try {
    return await Promise.race([resolve(host), timeout]);
  } catch {
    throw new RefusedError(failed('upstream.unresolved', `The name ${host} could not be resolved.`));
  } finally {
    clearTimeout(timer);
  }
}

/** Whether an error code is OpenSSL's or Node's word for a certificate that is not right. */
export function isCertificateError(code: string): boolean {
  return /CERT|ALTNAME|SELF_SIGNED|SIGNATURE|ISSUER/.test(code);
}

/** What is spoken on a connection. */
export interface Speech {
  /** Nothing by us: the client speaks TLS with the upstream itself. */
  raw?: boolean;
  /** HTTP/2, where the upstream agrees. */
  http2?: boolean;
}

/** Tries addresses in turn. A wrong certificate ends it: another address would not make it right. */
async function dialOne(
  connect: Connect,
  addresses: readonly string[],
  port: number,
  servername: string | null,
  http2: boolean,
): Promise<Socket> {
  let last: unknown = new Error('no address');
  const timeoutMs = Math.max(2_500, connectTimeoutMs / Math.max(1, addresses.length));
  for (const address of addresses) {
    try {
      return await connect(address, port, { servername, timeoutMs, http2 });
    } catch (error) {
      last = error;
      if (isCertificateError(String((error as { code?: unknown }).code))) break;
    }
  }
  throw last;
}

/**
 * Connects to a public host over TLS, unless it is spoken raw: looks its name up once, keeps only public addresses, and
 * dials those and nothing else, with the certificate checked for the name. Rejects with a RefusedError when no address is left.
 */
export async function dialPublic(
  host: string,
  resolve: Resolve,
  connect: Connect,
  { raw = false, http2 = false, port = 443 }: Speech & { port?: number | undefined } = {},
): Promise<Socket> {
  const addresses = await lookUp(resolve, host);
  const vetted = addresses.slice(0, 1_000).filter(isPublicAddress).slice(0, maxAddresses);
  if (vetted.length === 0) {
    throw new RefusedError(
      refuse(
        'address.not_public',
        `${host} does not resolve to a public address; only those are dialled. The operator can give an inner service a name with TAGALONG_UPSTREAMS.`,
      ),
    );
  }
  return dialOne(connect, vetted, port, raw ? null : host, http2);
}

/** Connects to an origin that the operator named, wherever it is. */
export async function dialMapped(
  origin: URL,
  resolve: Resolve,
  connect: Connect,
  { raw = false, http2 = false }: Speech = {},
): Promise<Socket> {
  const name = origin.hostname.replace(/^\[|\]$/g, '');
  const secure = origin.protocol === 'https:';
  const addresses = isIP(name) ? [name] : await lookUp(resolve, name);
  const port = Number(origin.port || (secure ? 443 : 80));
  return dialOne(connect, addresses.slice(0, maxAddresses), port, secure && !raw ? name : null, http2);
}
