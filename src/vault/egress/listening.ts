import type { Server } from 'node:net';
import type { ListenerHandle } from './protocol.ts';

/** Accepts on a raw listening handle, or on a port and address. Rejects when that cannot be done. */
export function listen(server: Server, on: ListenerHandle | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(on, () => {
      server.off('error', reject);
      server.on('error', () => {});
      resolve();
    });
  });
}
