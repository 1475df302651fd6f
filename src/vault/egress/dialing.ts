import { lookup } from 'node:dns/promises';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { isPublicAddress } from './addresses.ts';
import { failed, RefusedError, refuse } from './refusal.ts';

/** All addresses of a name. Called once per connection that is made. */
export type Resolve = (host: string) => Promise<string[]>;

export interface ConnectOptions {
  /** Speak TLS, and check the certificate for this name. Null: plain TCP. */
  servername: string | null;
  timeoutMs: number;
}

/** Opens a connection to one address. */
export type Connect = (address: string, port: number, options: ConnectOptions) => Promise<Socket>;

const resolveTimeoutMs = 5_000;
const connectTimeoutMs = 10_000;
const maxAddresses = 8;

/** The system's resolver, as `/etc/hosts` and `/etc/resolv.conf` say. */
export const systemResolve: Resolve = async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);

/** A TCP or TLS connection; resolves once it can be written to, and for TLS once the certificate was found right. */
export const systemConnect: Connect = (address, port, { servername, timeoutMs }) =>
  new Promise((resolve, reject) => {
    const base = { host: address, port, noDelay: true, autoSelectFamily: false };
    const socket =
      servername === null
        ? connectTcp(base)
        : connectTls({
            ...base,
            // An address is no server name; its certificate is checked for the address itself.
            ...(isIP(servername) ? {} : { servername }),
            ALPNProtocols: ['http/1.1'],
            minVersion: 'TLSv1.2',
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

/** Tries addresses in turn. A wrong certificate ends it: another address would not make it right. */
async function dialOne(
  connect: Connect,
  addresses: readonly string[],
  port: number,
  servername: string | null,
): Promise<Socket> {
  let last: unknown = new Error('no address');
  const timeoutMs = Math.max(2_500, connectTimeoutMs / Math.max(1, addresses.length));
  for (const address of addresses) {
    try {
      return await connect(address, port, { servername, timeoutMs });
    } catch (error) {
      last = error;
      if (isCertificateError(String((error as { code?: unknown }).code))) break;
    }
  }
  throw last;
}

/**
 * Connects to a public host over TLS: looks its name up once, keeps only public addresses, and dials those and
 * nothing else, with the certificate checked for the name. Rejects with a RefusedError when no address is left.
 */
export async function dialPublic(host: string, resolve: Resolve, connect: Connect): Promise<Socket> {
  const addresses = await lookUp(resolve, host);
  const vetted = addresses.slice(0, 1_000).filter(isPublicAddress).slice(0, maxAddresses);
  if (vetted.length === 0) {
    throw new RefusedError(
      refuse('address.not_public', `${host} does not resolve to a public address; only those are dialled.`),
    );
  }
  return dialOne(connect, vetted, 443, host);
}

/** Connects to an origin that the operator named, wherever it is. */
export async function dialMapped(origin: URL, resolve: Resolve, connect: Connect): Promise<Socket> {
  const name = origin.hostname.replace(/^\[|\]$/g, '');
  const secure = origin.protocol === 'https:';
  const addresses = isIP(name) ? [name] : await lookUp(resolve, name);
  const port = Number(origin.port || (secure ? 443 : 80));
  return dialOne(connect, addresses.slice(0, maxAddresses), port, secure ? name : null);
}
