import { Worker } from 'node:worker_threads';
import { textsOf } from './json-texts.ts';
import { holdsMoreValues } from './json-values.ts';
import { type JudgedModelBody, judgeModelBody, type ModelBody } from './model-body.ts';
import { failed, type Refusal, RefusedError } from './refusal.ts';

/** To read what is no more than either takes about a millisecond. */
const maxOwnBytes = 128 * 1024;
const maxOwnValues = 4_000;
/** Of the thread's heap. What may come takes far less. */
const maxHeapMib = 512;

export type ToThread = { id: number; bytes: Uint8Array<ArrayBuffer> } & (
  | { kind: 'model'; wire: ModelBody['wire']; mayReachOut: boolean }
  | { kind: 'texts' }
);

export type FromThread = { id: number } & (
  | { kind: 'model'; judged: { ok: true; body: Uint8Array } | { ok: false; refusal: Refusal } }
  | { kind: 'texts'; texts: string | undefined }
);

type Order = ToThread extends infer Each
  ? Each extends unknown
    ? Omit<Each, 'id' | 'bytes'>
    : never
  : never;

interface Waiting {
  resolve(answer: FromThread): void;
  reject(error: Error): void;
}

/**
 * Reads bodies that are JSON, large ones in a thread of their own: a conversation of some MiB is read and written anew
 * in tens of milliseconds, for which nobody else shall wait. Of each session one at a time, so that many of one session
 * do not come before the first of another. The thread starts with the first large body. `session` is whatever stands
 * for it. Rejects with a RefusedError when the thread has ended.
 */
export class JsonBodies {
  #thread: Worker | undefined;
  #lastId = 0;
  readonly #waiting = new Map<number, Waiting>();
  readonly #last = new WeakMap<object, Promise<unknown>>();

  /** Judges the body of a model request. Its bytes may not be used afterwards. */
  async judge(session: object, body: ModelBody): Promise<JudgedModelBody> {
    const { bytes, wire, mayReachOut } = body;
    if (isQuick(bytes)) return judgeModelBody(body);
    const answer = await this.#inTurn(session, { kind: 'model', wire, mayReachOut }, bytes);
    if (answer.kind !== 'model') throw unread();
    const { judged } = answer;
    return judged.ok ? { ok: true, body: Buffer.from(judged.body.buffer) } : judged;
  }

  /** Every text in it, as `textsOf` says. */
  async texts(session: object, bytes: Buffer): Promise<string | undefined> {
    if (isQuick(bytes)) return textsOf(bytes);
    const answer = await this.#inTurn(session, { kind: 'texts' }, bytes);
    if (answer.kind !== 'texts') throw unread();
    return answer.texts;
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.#thread?.terminate();
  }

  #inTurn(session: object, order: Order, bytes: Buffer): Promise<FromThread> {
    const before = this.#last.get(session) ?? Promise.resolve();
    const answer = before.then(() => this.#ask(order, bytes));
    this.#last.set(
      session,
      answer.catch(() => {}),
    );
    return answer;
  }

  #ask(order: Order, bytes: Buffer): Promise<FromThread> {
    return new Promise((resolve, reject) => {
      const thread = this.#running();
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      const { buffer } = bytes;
      const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength;
      // Of texts the bytes are still needed here.
      const given = isWhole && order.kind === 'model' ? new Uint8Array(buffer) : new Uint8Array(bytes);
      thread.postMessage({ ...order, id, bytes: given } satisfies ToThread, [given.buffer]);
    });
  }

  #running(): Worker {
    if (this.#thread) return this.#thread;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const thread = new Worker(new URL(`./json-bodies-thread.${extension}`, import.meta.url), {
      // Nothing of ours is for it.
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMib },
    });
    this.#thread = thread;
    thread.unref();
    thread.on('message', (answer: FromThread) => {
      this.#waiting.get(answer.id)?.resolve(answer);
      this.#waiting.delete(answer.id);
    });
    // Its end follows, and tells those who wait.
    thread.on('error', () => {});
    thread.once('exit', () => this.#ended(thread));
    return thread;
  }

  #ended(thread: Worker): void {
    if (this.#thread === thread) this.#thread = undefined;
    for (const { reject } of this.#waiting.values()) reject(unread());
    this.#waiting.clear();
  }
}

function isQuick(bytes: Buffer): boolean {
  return bytes.byteLength <= maxOwnBytes && !holdsMoreValues(bytes, maxOwnValues);
}

function unread(): RefusedError {
  return new RefusedError(
    failed('body.unread', 'The body of this request could not be read. Try again.', 503),
  );
}
