import type { Socket } from 'node:net';

/** Enough for a few hundred bytes to arrive, and for the client to take note. */
const lingerMs = 2_000;

/**
 * Says the last on a connection and ends it, whether the client ends its side or not. What still comes is read and
 * thrown away: closed with something unread, the connection would be reset and what was said lost.
 */
export function endWith(socket: Socket, last?: Buffer): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
  if (last) socket.end(last);
  else socket.end();
}
