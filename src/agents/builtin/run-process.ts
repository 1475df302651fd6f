import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { createOutputCollector } from './output.ts';
import { maxResultChars } from './text.ts';

export interface ProcessRequest {
  file: string;
  args: readonly string[];
  cwd: string;
  timeoutMs: number;
  signal: AbortSignal;
}

export interface ProcessResult {
  output: string;
  code: number | null;
  /** Why it was killed, where we did it. */
  killed: 'timeout' | 'cancelled' | undefined;
  signal: string | null;
}

/** Room for what is said of the output beside it. */
const noteChars = 500;
/** How long a process that was asked to end has. */
const graceMs = 1_000;
/** What it left running in the background may hold its pipes open; output is read for so long after its end. */
const drainMs = 100;

/**
 * Runs a program in a process group of its own, stdout and stderr in one text with a bound. On time-out or abort the
 * whole group is ended. What it puts in the background lives on. Never rejects but when the program cannot be started.
 */
export async function runProcess(request: ProcessRequest): Promise<ProcessResult> {
  const child = spawn(request.file, request.args, {
    cwd: request.cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = createOutputCollector(maxResultChars - noteChars);
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => output.add(chunk));
    stream.on('error', () => {});
  }
  let killed: ProcessResult['killed'];
  const kill = (why: 'timeout' | 'cancelled') => {
    killed ??= why;
    killGroup(child.pid, 'SIGTERM');
    setTimeout(() => killGroup(child.pid, 'SIGKILL'), graceMs).unref();
  };
  const timer = setTimeout(() => kill('timeout'), request.timeoutMs);
  const onAbort = () => kill('cancelled');
  request.signal.addEventListener('abort', onAbort, { once: true });
  if (request.signal.aborted) onAbort();
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  try {
    const exit = await new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    await Promise.race([closed, sleep(drainMs)]);
    if (killed) killGroup(child.pid, 'SIGKILL');
    return { output: output.text(), ...exit, killed };
  } finally {
    clearTimeout(timer);
    request.signal.removeEventListener('abort', onAbort);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Gone.
  }
}
