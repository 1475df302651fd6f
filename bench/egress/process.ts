import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

/** A process of the bench that answers messages over IPC, one at a time. */
export interface Helper {
  pid: number;
  ask<Answer>(message: object): Promise<Answer>;
  stop(): void;
}

/** Starts a program of this folder on the same Node, on one core where the machine has several. */
export function startHelper(
  name: string,
  core: 0 | 1,
  options: { nodeOptions?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
): Helper {
  const path = fileURLToPath(new URL(name, import.meta.url));
  const child = spawn(process.execPath, [...(options.nodeOptions ?? []), path], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const pid = child.pid ?? 0;
  pin(pid, core);
  return {
    pid,
    ask: (message) => ask(name, child, message),
    stop: () => void (child.connected ? child.disconnect() : child.kill()),
  };
}

function ask<Answer>(name: string, child: ChildProcess, message: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`${name} ended with code ${code}.`));
    child.once('exit', onExit);
    child.once('message', (answer) => {
      child.off('exit', onExit);
      resolve(answer as Answer);
    });
    child.send(message);
  });
}

/** Keeps a process and all its threads on one core. Where there is one core only, or no `taskset`, nothing is done. */
export function pin(pid: number, core: 0 | 1): void {
  if (availableParallelism() < 2 || pid === 0) return;
  try {
    execFileSync('taskset', ['-a', '-c', '-p', String(core), String(pid)], { stdio: 'ignore' });
  } catch {
    // Measured unpinned.
  }
}

/** Processor time of a process and those below it, in seconds. The kernel counts in hundredths. */
export function processorSeconds(pid: number): number {
  return tree(pid).reduce((sum, each) => {
    const fields = readFileSync(`/proc/${each}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);
}

/** Memory of a process and those below it, in KiB, with what they share with others counted in part. */
export function shareKib(pid: number): number {
  return tree(pid).reduce((sum, each) => {
    const rollup = readFileSync(`/proc/${each}/smaps_rollup`, 'utf8');
    return sum + Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0);
  }, 0);
}

/** Resident memory of a process and those below it, now and at its highest, in MiB. */
export function memoryMib(pid: number): { now: number; peak: number } {
  const of = (name: string) =>
    tree(pid).reduce((sum, each) => {
      const status = readFileSync(`/proc/${each}/status`, 'utf8');
      return sum + Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) / 1024;
    }, 0);
  return { now: of('VmRSS'), peak: of('VmHWM') };
}

function tree(pid: number): number[] {
  const below = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean),
  );
  return [pid, ...below.flatMap((child) => tree(Number(child)))];
}
