import type { Socket } from 'node:net';
import { TLSSocket, type TLSSocketOptions } from 'node:tls';

const handshakeTimeoutMs = 10_000;
/** In the order in which we like them; a client that offers none speaks HTTP/1.1. */
const protocols = ['h2', 'http/1.1'];

/**
 * Speaks TLS as the server on a client's connection. Calls `secure` once the client has proved to speak it, or
 * `failed` once, without a reason for a client that left without a word. While what is given to the function that is
 * given back lasts, the client's time for it does not run.
 */
export function handshake(
  socket: Socket,
  options: Pick<TLSSocketOptions, 'secureContext' | 'SNICallback'>,
  on: { secure(secure: TLSSocket): void; failed(why: string | undefined): void },
): (meanwhile: Promise<void>) => Promise<void> {
  const secure = new TLSSocket(socket, { ...options, isServer: true, ALPNProtocols: protocols });
  let over = false;
  const failed = (why: string | undefined) => {
    if (!over) on.failed(why);
    over = true;
  };
  const late = () => secure.destroy(new Error('handshake timed out'));
  let timer = setTimeout(late, handshakeTimeoutMs);
  secure.on('error', (error: Error) => failed(error.message));
  // After the handshake Node reports a broken record by this event only.
  secure.on('_tlsError', (error: Error) => {
    failed(error.message);
    secure.destroy();
  });
  secure.once('close', () => {
    clearTimeout(timer);
    failed(undefined);
  });
  // Half-open, as all sockets of an HTTP server are: a client that leaves during the handshake must be let go.
  const leave = () => secure.destroy();
  secure.once('end', leave);
  secure.once('secure', () => {
    clearTimeout(timer);
    secure.off('end', leave);
    over = true;
    on.secure(secure);
  });
  return async (meanwhile) => {
    clearTimeout(timer);
    await meanwhile;
    if (!over) timer = setTimeout(late, handshakeTimeoutMs);
  };
}
