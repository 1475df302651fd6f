import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SandboxCgroup } from './cgroups.ts';
import { endReason } from './end-reason.ts';
import { childrenOf, descendantsOf, processStart, signal } from './processes.ts';
import type { SandboxEnd } from './sandbox.ts';

/** How long the kernel gets to end what was killed. */
const killedMs = 10_000;
/** How often, and how far apart, the init of the pid namespace is killed before the outer process is. */
const killAttempts = 40;
const killPauseMs = 25;
const defaultGraceMs = 2_000;
const keptErrorBytes = 16 * 1024;

export interface RunningProcess {
  pid: number;
  closed: Promise<SandboxEnd>;
  close(graceMs?: number): Promise<SandboxEnd>;
  /** Kills it, with a reason of ours for the thread. */
  endFor(reason: string): void;
  /** The last 16 KiB of what it wrote to stderr. */
  errorTail(): string;
}

export interface RunningInput {
  child: ChildProcess;
  pid: number;
  cgroup: SandboxCgroup | undefined;
  memoryBytes: number;
}

/**
 * Watches a started process to its end. `closed` resolves when nothing of it runs any more, whatever ended it; it
 * never rejects.
 */
export function watchProcess(input: RunningInput): RunningProcess {
  const { child, pid, cgroup } = input;
  let tail = Buffer.alloc(0);
  child.stderr?.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-keptErrorBytes);
  });
  // A pipe to what has ended breaks; the end is told by `closed`.
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on('error', () => {});
  let closing = false;
  let endedFor: string | undefined;
  const errorTail = () => tail.toString('utf8');
  const closed = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signalName) => resolve({ code, signal: signalName }));
    child.once('error', () => resolve({ code: null, signal: null }));
  }).then(async (exit): Promise<SandboxEnd> => {
    const outOfMemory = (cgroup?.outOfMemoryKills() ?? 0) > 0;
    await cgroup?.remove();
    const reason = endReason({
      ...exit,
      closing,
      endedFor,
      outOfMemory,
      memoryBytes: input.memoryBytes,
      stderr: errorTail(),
    });
    return { ...exit, reason };
  });
  const close = async (graceMs: number = defaultGraceMs) => {
    closing = true;
    if (child.exitCode === null && child.signalCode === null) await endProcess(child, pid, graceMs, closed);
    return closed;
  };
  return {
    pid,
    closed,
    errorTail,
    close,
    endFor(reason) {
      if (!closing) endedFor = reason;
      // What cannot be killed is told by whoever closes it.
      close(0).catch(() => {});
    },
  };
}

/**
 * Asks what runs inside to end, then kills the init of its pid namespace, with which the kernel kills the rest of it.
 * Bubblewrap's outer process ends by itself when it has seen that.
 */
async function endProcess(
  child: ChildProcess,
  pid: number,
  graceMs: number,
  closed: Promise<unknown>,
): Promise<void> {
  if (graceMs > 0) {
    child.stdin?.destroy();
    for (const descendant of descendantsOf(pid)) signal(descendant, 'SIGTERM');
    if (await within(graceMs, closed)) return;
  }
  for (let attempt = 0; attempt < killAttempts; attempt++) {
    const inits = childrenOf(pid);
    for (const init of inits) signal(init, 'SIGKILL');
    // Not yet bubblewrap, or not yet with a child; the second look is for the moment between.
    if (inits.length === 0 && attempt > 0) signal(pid, 'SIGKILL');
    if (await within(killPauseMs, closed)) return;
  }
  const started = processStart(pid);
  for (const victim of [...descendantsOf(pid), pid]) signal(victim, 'SIGKILL');
  if (!(await within(killedMs, closed)) && started !== undefined && processStart(pid) === started) {
    throw new Error(
      `The sandbox with process id ${pid} cannot be killed: the kernel holds it. Restart the machine.`,
    );
  }
}

async function within(timeoutMs: number, promise: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const ended = await Promise.race([promise.then(() => true), late]);
  timer.abort();
  return ended;
}
