import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import type { ListenerHandle, ListenerRole } from '../vault/egress/protocol.ts';
import { createSpares, type Spares } from '../vault/spares.ts';
import type { FromBootstrap } from './bootstrap-protocol.ts';
import type { SandboxCgroup } from './cgroups.ts';
import { processStart } from './processes.ts';
import { SandboxError } from './sandbox.ts';

export interface BootstrapListener {
  handle: ListenerHandle;
  role: ListenerRole;
  port: number;
}

/** A bootstrap that runs: the network of a sandbox to be, in which it listens and waits for what it is told. */
export interface Bootstrap {
  child: ChildProcess;
  pid: number;
  cgroup: SandboxCgroup | undefined;
  /** Resolves when it is under the limits of its cgroup. */
  limited: Promise<void>;
  /** What has come of its listeners so far. */
  received: readonly BootstrapListener[];
  /** All of them. Waits for ever when it ends before, rejects when one came without its handle. */
  listening: Promise<readonly BootstrapListener[]>;
}

export interface BootstrapInput {
  /** The chain that ends in the bootstrap. */
  command: readonly [string, ...string[]];
  /** Uid and gid of its first process, where the chain does not see to them itself. */
  uid?: number | undefined;
  cgroup?: SandboxCgroup;
}

/**
 * Spawns the chain with an empty environment, and puts it under its limits. Rejects with a SandboxError when there is
 * nothing to spawn; then the cgroup is gone too.
 */
export async function startBootstrap({ command, uid, cgroup }: BootstrapInput): Promise<Bootstrap> {
  const [file, ...args] = command;
  const child = spawn(file, args, {
    cwd: '/',
    env: {},
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const { pid } = child;
  if (pid === undefined) {
    const error = await new Promise<Error>((resolve) => child.once('error', resolve));
    await cgroup?.remove();
    throw new SandboxError('start_failed', `${file} did not start: ${error.message}`, { cause: error });
  }
  // A message to what has ended; its end is told by its exit.
  child.on('error', () => {});
  const received: BootstrapListener[] = [];
  const listening = new Promise<readonly BootstrapListener[]>((resolve, reject) => {
    child.on('message', (message: FromBootstrap, handle?: unknown) => {
      if (message.type !== 'listening') return;
      if (!handle) return reject(new Error('The bootstrap sent no listener.'));
      received.push({ handle: handle as ListenerHandle, role: message.role, port: message.port });
      if (message.left === 0) resolve(received);
    });
  });
  const limited = cgroup?.add(pid) ?? Promise.resolve();
  for (const promise of [listening, limited]) promise.catch(() => {});
  return { child, pid, cgroup, limited, received, listening };
}

/** Closes a raw listener that nobody will serve any more. */
export function closeHandle(handle: ListenerHandle): void {
  (handle as { close?: () => void }).close?.();
}

const spareTimeoutMs = 15_000;

/**
 * Bootstraps that were started ahead. None keeps the worker from ending, and each ends with it: they are of no session
 * yet, and get uid and disk from the one that takes them.
 */
export function createSpareBootstraps(input: {
  count: number;
  restMs: number;
  start(): Promise<Bootstrap>;
  onFailure(error: unknown): void;
}): Spares<Bootstrap> {
  const { count, restMs, onFailure } = input;
  return createSpares<Bootstrap>({
    count,
    restMs,
    onFailure,
    async make() {
      const spare = await input.start();
      hold(spare.child, false);
      const late = AbortSignal.timeout(spareTimeoutMs);
      const ended = once(spare.child, 'exit', { signal: late }).then(() => {
        throw new Error('A spare bootstrap ended before it listened.');
      });
      try {
        await Promise.race([Promise.all([spare.listening, spare.limited]), ended]);
        return spare;
      } catch (error) {
        await discard(spare);
        throw error;
      } finally {
        ended.catch(() => {});
      }
    },
    // That it has ended may not have been told us yet.
    isGood: ({ child, pid }) => child.connected && processStart(pid) !== undefined,
    discard,
  });
}

/** Lets a spare go to the session that takes it: from now on the worker stays for it. */
export function adopt(spare: Bootstrap): Bootstrap {
  hold(spare.child, true);
  return spare;
}

async function discard({ child, cgroup, received }: Bootstrap): Promise<void> {
  for (const { handle } of received) closeHandle(handle);
  if (isRunning(child)) {
    hold(child, true);
    child.kill('SIGKILL');
    await once(child, 'exit').catch(() => {});
  }
  await cgroup?.remove();
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

/** Whether this process stays for what may still come of the child. */
function hold(child: ChildProcess, stay: boolean): void {
  const pipes = [child.stdin, child.stdout, child.stderr].filter((stream) => stream instanceof Socket);
  for (const each of [child, child.channel, ...pipes]) {
    if (stay) each?.ref();
    else each?.unref();
  }
}
