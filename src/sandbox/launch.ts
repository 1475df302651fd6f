import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { ListenerHandle, ListenerRole } from '../vault/egress/protocol.ts';
import type { BootstrapExec, BootstrapMount, FromBootstrap } from './bootstrap-protocol.ts';
import { type Bootstrap, closeHandle } from './bootstraps.ts';
import { type RunningProcess, watchProcess } from './running.ts';
import { type Sandbox, SandboxError } from './sandbox.ts';

export interface LaunchInput {
  bootstrap: Bootstrap;
  memoryBytes: number;
  /** The disk that the bootstrap mounts, beside all the rest; undefined for none. */
  mount?: Promise<Omit<BootstrapMount, 'type'> | undefined>;
  /**
   * Made ready meanwhile. Answers what the bootstrap becomes once its listeners are served, the proxy's on this port.
   */
  prepare(): Promise<(port: number) => Omit<BootstrapExec, 'type'>>;
  onListener(handle: ListenerHandle, role: ListenerRole): Promise<void>;
  timeoutMs: number;
}

/** What every adapter's sandbox is made of; only what it enforces and where its workspace is differ. */
export type Launched = Omit<Sandbox, 'enforced' | 'workspace'> & Pick<RunningProcess, 'endFor'>;

/**
 * Hands the listeners of a bootstrap to `onListener`, and lets it become the program. Resolves when it has let go of
 * our IPC channel. On any failure nothing of it is left.
 */
export async function launch(input: LaunchInput): Promise<Launched> {
  const { child, pid, cgroup, received } = input.bootstrap;
  const running = watchProcess({ child, pid, cgroup, memoryBytes: input.memoryBytes });
  const closeAll = () => {
    for (const { handle } of received) closeHandle(handle);
  };
  try {
    const ended = running.closed.then((end) => {
      throw new Error(end.reason);
    });
    ended.catch(() => {});
    await withTimeout(Promise.race([handOver(input), ended]), input.timeoutMs);
    const { stdin, stdout, stderr } = child;
    if (!stdin || !stdout || !stderr) throw new Error('It has no pipes.');
    const listeners = received.map(({ handle }) => handle);
    const closed = running.closed.then((end) => {
      closeAll();
      return end;
    });
    const close = (graceMs?: number) => running.close(graceMs).then(() => closed);
    return { stdin, stdout, stderr, listeners, pid, closed, close, endFor: running.endFor };
  } catch (error) {
    await running.close(0);
    closeAll();
    const text = `${error instanceof Error ? error.message : error}`;
    throw new SandboxError('start_failed', `The sandbox did not start. ${text}`, { cause: error });
  }
}

async function handOver(input: LaunchInput): Promise<void> {
  const { child, pid, limited, listening } = input.bootstrap;
  preferAsVictim(pid);
  const mounted = input.mount?.then((disk) => disk && mount(child, disk));
  const served = listening.then(async (listeners) => {
    await Promise.all(listeners.map(({ handle, role }) => input.onListener(handle, role)));
    return listeners.find(({ role }) => role === 'proxy')?.port ?? 0;
  });
  const [become, port] = await Promise.all([input.prepare(), served, mounted, limited]);
  const gone = new Promise<void>((resolve) => child.once('disconnect', resolve));
  const message: BootstrapExec = { type: 'exec', ...become(port) };
  child.send(message);
  await gone;
}

/** Resolves when it is mounted; when it cannot be, the bootstrap ends. */
function mount(child: ChildProcess, disk: Omit<BootstrapMount, 'type'>): Promise<void> {
  const message: BootstrapMount = { type: 'mount', ...disk };
  child.send(message);
  return new Promise((resolve) => {
    child.on('message', ({ type }: FromBootstrap) => {
      if (type === 'mounted') resolve();
    });
  });
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
