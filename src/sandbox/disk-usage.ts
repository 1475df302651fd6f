import { spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import type { SandboxHost } from './host.ts';

/** What lies in the folders that an agent writes: bytes on the disk (holes are none), files and folders. */
export interface DiskUsage {
  bytes: number;
  entries: number;
}

const measureEveryMs = 2_000;
/** Of the time, at most one part in ten is spent on measuring. */
const restPerMeasure = 9;
const measureTimeoutMs = 60_000;
/** As the file system of an image has them. */
const bytesPerEntry = 16 * 1024;

/**
 * Why the sandbox has to end, in words for the thread; undefined while there is room. What was there at its start is
 * never held against it: else nobody could delete anything any more.
 */
export function fullReason(now: DiskUsage, atStart: DiskUsage, limitBytes: number): string | undefined {
  const maxEntries = Math.floor(limitBytes / bytesPerEntry);
  if (now.bytes > Math.max(limitBytes, atStart.bytes))
    return `Its workspace is full: it may hold ${Math.round(limitBytes / (1024 * 1024))} MiB.`;
  if (now.entries > Math.max(maxEntries, atStart.entries))
    return `Its workspace is full: it may hold ${maxEntries} files and folders.`;
  return undefined;
}

export interface UsageInput {
  programs: Pick<SandboxHost['programs'], 'setpriv' | 'unshare' | 'du'>;
  uid: number | undefined;
  folders: readonly string[];
}

/**
 * Measures the folders as the session's own user, so that a link of the agent's making leads to nothing that the agent
 * could not see itself, and in a user namespace, so that it cannot close a folder to us. Undefined when it cannot be
 * told, as when the folders change too quickly.
 */
export async function measureDisk(input: UsageInput): Promise<DiskUsage | undefined> {
  const kibibytes = await sum(input, '-skx');
  const entries = await sum(input, '-sx', '--inodes');
  if (kibibytes === undefined || entries === undefined) return undefined;
  return { bytes: kibibytes * 1024, entries };
}

async function sum(
  { programs, uid, folders }: UsageInput,
  ...options: string[]
): Promise<number | undefined> {
  const drop =
    uid === undefined
      ? []
      : [programs.setpriv, `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs'];
  const [file = '', ...args] = [
    ...drop,
    ...[programs.unshare, '--user', '--map-root-user', programs.du, ...options, '--', ...folders],
  ];
  const child = spawn(file, args, {
    env: {},
    cwd: '/',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: measureTimeoutMs,
  });
  if (child.pid !== undefined) setPriority(child.pid, 19);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('latin1');
  });
  await new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
  const sums = output.trim().split('\n').map(Number.parseFloat);
  // A file that vanished meanwhile is told on standard error; the sums are there all the same.
  return sums.length === folders.length && sums.every(Number.isFinite)
    ? sums.reduce((total, each) => total + each, 0)
    : undefined;
}

/**
 * Measures at once and then again and again, and calls `onFull` when there is too much, once. Answers how to stop.
 */
export function watchDisk(
  input: UsageInput & { limitBytes: number; onFull(reason: string): void },
): () => void {
  let atStart: DiskUsage | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const again = (afterMs: number) => {
    timer = setTimeout(() => void look(), afterMs);
    timer.unref();
  };
  const look = async () => {
    const began = performance.now();
    const now = await measureDisk(input);
    if (stopped) return;
    atStart ??= now;
    const reason = now && atStart && fullReason(now, atStart, input.limitBytes);
    if (reason !== undefined) return input.onFull(reason);
    again(Math.max(measureEveryMs, restPerMeasure * (performance.now() - began)));
  };
  void look();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
