import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ListenerHandle } from '../../../src/vault/egress/protocol.ts';

/** A raw listening handle that another process made and nobody accepts on yet, with its port. */
export function makeListener(): Promise<{ port: number; handle: ListenerHandle }> {
  const child = fork(fileURLToPath(new URL('./listener-child.mjs', import.meta.url)), { execArgv: [] });
  return new Promise((resolve, reject) => {
    child.once('message', (message, handle) => {
      resolve({ port: (message as { port: number }).port, handle: handle as unknown as ListenerHandle });
    });
    child.once('error', reject);
  });
}
