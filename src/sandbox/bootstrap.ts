/**
 * Runs in the sandbox's network namespace, before bubblewrap: listens on the loopback, hands the listeners to the
 * worker, mounts the session's disk, and when it is told to, becomes the program it is told. Bundled to one file without
 * dependencies.
 */
import { type SendHandle, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, lchownSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { ListenerRole } from '../vault/egress/protocol.ts';
import type {
  BootstrapExec,
  BootstrapMount,
  BootstrapMounted,
  FromBootstrap,
  ToBootstrap,
} from './bootstrap-protocol.ts';

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
/** In a network namespace of our own every address is this machine's, so these ports catch what is sent to any. */
const places: { role: ListenerRole; port: number; host: string }[] = [
  { role: 'proxy', port, host: '127.0.0.1' },
  ...(process.argv[3] === 'transparent'
    ? ([
        { role: 'http', port: 80, host: '0.0.0.0' },
        { role: 'https', port: 443, host: '0.0.0.0' },
        { role: 'dns', port: 53, host: '0.0.0.0' },
      ] as const)
    : []),
];

/** The raw handles: sent as a server or a socket, the worker would begin to accept and to read. */
async function listen(role: ListenerRole, at: { port: number; host: string }) {
  if (role === 'dns') {
    const socket = createSocket('udp4');
    socket.bind({ port: at.port, address: at.host, exclusive: true });
    await once(socket, 'listening');
    // Deprecated, as every access to a raw handle is; there is no other.
    process.noDeprecation = true;
    return { port: at.port, handle: (socket as unknown as { _handle: SendHandle })._handle };
  }
  const server = createServer();
  server.listen({ ...at, backlog: 511 });
  await once(server, 'listening');
  const address = server.address();
  const real = typeof address === 'object' && address ? address.port : at.port;
  return { port: real, handle: (server as unknown as { _handle: SendHandle })._handle };
}

Promise.all(places.map(async (place) => ({ role: place.role, ...(await listen(place.role, place)) }))).then(
  (ready) => {
    ready.forEach(({ role, port, handle }, i) => {
      const message: FromBootstrap = { type: 'listening', role, port, left: ready.length - 1 - i };
      process.send?.(message, handle, {}, (error) => {
        if (error) fail(`A listener could not be handed over: ${error.message}`);
      });
    });
  },
  (error: Error) => fail(`The sandbox's listeners failed: ${error.message}`),
);

const mountAttempts = 20;
const mountPauseMs = 50;

/** The image of a sandbox that is just ending is busy for a moment. */
function mount(message: BootstrapMount, attempt = 1): void {
  const [file, ...args] = message.command;
  const child = spawn(file, args, { env: {}, stdio: ['ignore', 'ignore', 'inherit'] });
  child.once('error', (error) => fail(`${file} did not start: ${error.message}`));
  child.once('exit', (code) => {
    if (code === 0) return mounted(message);
    if (attempt === mountAttempts) fail(`${message.image} cannot be mounted. Look at it with e2fsck.`);
    setTimeout(() => mount(message, attempt + 1), mountPauseMs);
  });
}

function mounted({ folders, uid }: BootstrapMount): void {
  for (const folder of folders) if (lstatSync(folder).uid === 0) lchownSync(folder, uid, uid);
  const message: BootstrapMounted = { type: 'mounted' };
  process.send?.(message);
}

function become(message: BootstrapExec): void {
  process.removeAllListeners('disconnect');
  process.once('disconnect', () => {
    closeInherited();
    if (message.cwd) process.chdir(message.cwd);
    process.execve?.(message.file, [message.file, ...message.args], message.env);
  });
  process.disconnect();
}

process.on('message', (message: ToBootstrap) => {
  if (message.type === 'mount') mount(message);
  else become(message);
});
// The worker is gone: nothing may outlive it.
process.once('disconnect', () => process.exit(71));
