import { type ChildProcess, type SendHandle, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { compileCacheEnvironment } from '../../store/compile-cache.ts';
import type { EgressAnswers, EgressRequest, FromEgress, ToEgress } from './messages.ts';
import type { EgressStart, ListenerHandle } from './protocol.ts';

/** The egress process is gone, or was before it answered. */
export class EgressGoneError extends Error {
  override name = 'EgressGoneError';
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * Small young generation: relaying makes much short-lived garbage, which is collected on demand too (`garbage.ts`).
 * The whole heap is collected seldom: while it is, every session waits, and the connections of one that opens many are
 * enough to begin it. No inspector: the heap holds secrets.
 */
export const egressNodeOptions = [
  '--expose-gc',
  '--max-semi-space-size=8',
  '--heap-growing-percent=200',
  '--max-old-space-size=1024',
  '--disable-sigusr1',
];

/** One run of the egress process, as the worker sees it. */
export class EgressChild {
  readonly ready: Promise<void>;
  readonly exited: Promise<void>;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #gone = false;

  /** Starts it, with nothing of our environment, and sends what it needs to know. `ready` rejects when it ends before. */
  constructor(entry: string, start: Omit<EgressStart, 'type'>, logger: Logger) {
    const child = spawn(process.execPath, [...egressNodeOptions, entry], {
      env: compileCacheEnvironment,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#process = child;
    relayLog(child.stdout, logger);
    relayLog(child.stderr, logger);
    this.exited = new Promise((resolve) => {
      const end = () => {
        this.#fail();
        resolve();
      };
      child.once('exit', end);
      // Emitted in the place of `exit` when it could not be started at all.
      child.once('error', end);
    });
    this.ready = new Promise((resolve, reject) => {
      child.on('message', (message: FromEgress) => {
        if (message.type === 'ready') resolve();
        else this.#answered(message);
      });
      this.exited.then(() => reject(new EgressGoneError('The egress process ended before it was ready.')));
    });
    this.ready.catch(() => {});
    this.#send({ type: 'start', ...start });
  }

  get pid(): number | undefined {
    return this.#gone ? undefined : this.#process.pid;
  }

  /** Asks and waits for the answer. Rejects with an EgressGoneError when the process dies, else with what it says. */
  request<T extends EgressRequest['type']>(
    message: Extract<EgressRequest, { type: T }>,
    handle?: ListenerHandle,
  ): Promise<EgressAnswers[T]> {
    if (this.#gone) return Promise.reject(new EgressGoneError('The egress process is not running.'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: (value) => resolve(value as EgressAnswers[T]), reject });
      this.#send({ ...message, id }, handle);
    });
  }

  setTurn(sessionId: string, turnId: string | null): void {
    this.#send({ type: 'set_turn', sessionId, turnId });
  }

  /** Lets it write its records and end; ends it by force after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#send({ type: 'stop' });
    const timer = setTimeout(() => this.kill(), graceMs);
    await this.exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #send(message: ToEgress, handle?: ListenerHandle): void {
    if (this.#gone || !this.#process.connected) return;
    // A raw handle crosses as it is, and stays open here too; the types know only the wrapped kinds.
    this.#process.send(message, handle as SendHandle | undefined, (error) => {
      if (error) this.#fail();
    });
  }

  #answered(message: Extract<FromEgress, { type: 'answer' }>): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.ok) waiting?.resolve(message.value);
    else waiting?.reject(new Error(message.message));
  }

  #fail(): void {
    this.#gone = true;
    for (const { reject } of this.#waiting.values()) reject(new EgressGoneError('The egress process ended.'));
    this.#waiting.clear();
  }
}

const levels = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' } as const;

/** Passes its log lines into ours. */
function relayLog(stream: Readable | null, logger: Logger): void {
  if (!stream) return;
  createInterface({ input: stream }).on('line', (line) => {
    let fields: Record<string, unknown>;
    try {
      fields = JSON.parse(line) as Record<string, unknown>;
    } catch {
      return void logger.warn({ line: line.slice(0, 2_000) }, 'The egress process said something.');
    }
    const { level, msg, time: _time, pid: _pid, hostname: _host, ...rest } = fields;
    logger[levels[level as keyof typeof levels] ?? 'info'](rest, String(msg ?? ''));
  });
}
