/**
 * Runs in the sandbox's network namespace, before bubblewrap: listens on the loopback, hands the listener to the
 * worker, and when it is told to, becomes the program it is told. Bundled to one file without dependencies.
 */
import type { SendHandle } from 'node:child_process';
import { closeSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { BootstrapExec, BootstrapListening } from './bootstrap-protocol.ts';

const openOnExec = (fd: number): boolean => {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & 0o2000000) === 0;
};

/** Node marks inherited descriptors only up to the first gap; one that is left open would reach the agent. */
function closeInherited(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    try {
      if (fd > 2 && openOnExec(fd)) closeSync(fd);
    } catch {
      // The descriptor of the listing itself.
    }
  }
}

const fail = (message: string): never => {
  process.stderr.write(`${message}\n`);
  process.exit(70);
};

/** 0 for any. */
const port = Number(process.argv[2]);
const server = createServer();
server.on('error', (error) => fail(`The sandbox's listener failed: ${error.message}`));
server.listen({ host: '127.0.0.1', port, backlog: 511 }, () => {
  // The raw handle: sent as a server, the worker would begin to accept.
  const { _handle: handle } = server as unknown as { _handle: SendHandle };
  const address = server.address();
  const message: BootstrapListening = {
    type: 'listening',
    port: typeof address === 'object' && address ? address.port : port,
  };
  process.send?.(message, handle, {}, (error) => {
    if (error) fail(`The listener could not be handed over: ${error.message}`);
  });
});

process.once('message', (message: BootstrapExec) => {
  process.removeAllListeners('disconnect');
  process.once('disconnect', () => {
    closeInherited();
    if (message.cwd) process.chdir(message.cwd);
    process.execve?.(message.file, [message.file, ...message.args], message.env);
  });
  process.disconnect();
});
// The worker is gone: nothing may outlive it.
process.once('disconnect', () => process.exit(71));
