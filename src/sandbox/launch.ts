import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { ListenerHandle, ListenerRole } from '../vault/egress/protocol.ts';
import type { BootstrapExec, BootstrapListening } from './bootstrap-protocol.ts';
import type { SandboxCgroup } from './cgroups.ts';
import { type RunningProcess, watchProcess } from './running.ts';
import { type Sandbox, SandboxError } from './sandbox.ts';

export interface LaunchInput {
  command: readonly [string, ...string[]];
  cgroup: SandboxCgroup | undefined;
  memoryBytes: number;
  /** Uid and gid of the first process, where the command does not see to them itself. */
  uid?: number | undefined;
  /**
   * What can be made ready while the chain starts. Answers what the bootstrap becomes once its listeners are served,
   * the proxy's on this port.
   */
  prepare(): (port: number) => Omit<BootstrapExec, 'type'>;
  onListener(handle: ListenerHandle, role: ListenerRole): Promise<void>;
  timeoutMs: number;
}

/** What every adapter's sandbox is made of; only what it enforces and where its workspace is differ. */
export type Launched = Omit<Sandbox, 'enforced' | 'workspace'> & Pick<RunningProcess, 'endFor'>;

/**
 * Spawns the chain with an empty environment, puts it under its limits, hands its listeners to `onListener`, and lets
 * it become the program. Resolves when it has let go of our IPC channel. On any failure nothing of it is left.
 */
export async function launch(input: LaunchInput): Promise<Launched> {
  const [file, ...args] = input.command;
  const child = spawn(file, args, {
    cwd: '/',
    env: {},
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
    ...(input.uid === undefined ? {} : { uid: input.uid, gid: input.uid }),
  });
  const pid = child.pid;
  if (pid === undefined) {
    const error = await new Promise<Error>((resolve) => child.once('error', resolve));
    await input.cgroup?.remove();
    throw new SandboxError('start_failed', `${file} did not start: ${error.message}`, { cause: error });
  }
  const running = watchProcess({ child, pid, cgroup: input.cgroup, memoryBytes: input.memoryBytes });
  const listeners: ListenerHandle[] = [];
  try {
    const ended = running.closed.then((end) => {
      throw new Error(end.reason);
    });
    ended.catch(() => {});
    await withTimeout(Promise.race([handOver(child, pid, input, listeners), ended]), input.timeoutMs);
    const { stdin, stdout, stderr } = child;
    if (!stdin || !stdout || !stderr) throw new Error('It has no pipes.');
    const closed = running.closed.then((end) => {
      for (const handle of listeners) closeHandle(handle);
      return end;
    });
    const close = (graceMs?: number) => running.close(graceMs).then(() => closed);
    return { stdin, stdout, stderr, listeners, pid, closed, close, endFor: running.endFor };
  } catch (error) {
    await running.close(0);
    for (const handle of listeners) closeHandle(handle);
    const text = `${error instanceof Error ? error.message : error}`;
    throw new SandboxError('start_failed', `The sandbox did not start. ${text}`, { cause: error });
  }
}

async function handOver(
  child: ChildProcess,
  pid: number,
  input: LaunchInput,
  listeners: ListenerHandle[],
): Promise<void> {
  // Before it is told to go on, so that all that it becomes is under the limits.
  input.cgroup?.add(pid);
  preferAsVictim(pid);
  const listening = new Promise<number>((resolve, reject) => {
    const served: Promise<void>[] = [];
    let proxyPort = 0;
    child.on('message', (message: BootstrapListening, handle?: unknown) => {
      if (!handle) return reject(new Error('The bootstrap sent no listener.'));
      listeners.push(handle as ListenerHandle);
      if (message.role === 'proxy') proxyPort = message.port;
      const serving = input.onListener(handle as ListenerHandle, message.role);
      serving.catch(reject);
      served.push(serving);
      if (message.left === 0) Promise.all(served).then(() => resolve(proxyPort), reject);
    });
  });
  listening.catch(() => {});
  const become = input.prepare();
  const port = await listening;
  const gone = new Promise<void>((resolve) => child.once('disconnect', resolve));
  const message: BootstrapExec = { type: 'exec', ...become(port) };
  child.send(message);
  await gone;
}

/** Closes a raw listener that nobody will serve any more. */
export function closeHandle(handle: ListenerHandle): void {
  (handle as { close?: () => void }).close?.();
}

/** When the whole machine runs out of memory, a sandbox is to go before the database does. */
function preferAsVictim(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, '500');
  } catch {
    // Only a preference.
  }
}

async function withTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`It was not ready within ${timeoutMs / 1000} s.`)),
    timeoutMs,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
