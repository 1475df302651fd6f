import { PassThrough, type Readable } from 'node:stream';
import type { Lane } from './fair-queue.ts';
import { Pace } from './pace.ts';
import { failed, malformed, RefusedError, refuse } from './refusal.ts';

/** Bounds the bytes of bodies that are held in memory. */
export class BodyBudget {
  readonly #maxBytes: number;
  readonly #whole: BodyBudget | undefined;
  #held = 0;

  /** `whole`: what it is a share of, which is bounded too. */
  constructor(maxBytes: number, whole?: BodyBudget) {
    this.#maxBytes = maxBytes;
    this.#whole = whole;
  }

  /** False when there is no room now. What was taken is given back with `release`. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.#maxBytes || this.#whole?.take(bytes) === false) return false;
    this.#held += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#held -= bytes;
    this.#whole?.release(bytes);
  }

  /** Takes so many bytes until the function that is given back is called. Throws a RefusedError when there is no room. */
  hold(bytes: number): () => void {
    if (!this.take(bytes)) throw noRoom();
    let isHeld = true;
    return () => {
      if (isHeld) this.release(bytes);
      isHeld = false;
    };
  }
}

const maxLoosePieces = 256;

/** Pieces of a body that are kept. Many small ones become few: each costs far more memory than its bytes. */
export class Pieces {
  #kept: Buffer[] = [];
  #loose: Buffer[] = [];

  add(piece: Buffer): void {
    this.#loose.push(piece);
    if (this.#loose.length >= maxLoosePieces) this.#kept.push(Buffer.concat(this.#loose.splice(0)));
  }

  /** All of it; nothing is kept any longer. */
  take(): Buffer {
    return Buffer.concat([...this.#kept.splice(0), ...this.#loose.splice(0)]);
  }
}

/** The budget does not reach. */
export function noRoom(): RefusedError {
  return new RefusedError(failed('body.no_room', 'Too many large requests at once. Try again.', 503));
}

/** A request's body. */
export interface IncomingBody {
  /** As it comes. */
  stream(): Readable;
  /**
   * Whole, in the turns of its session where a lane is given. Rejects with a RefusedError when it is larger, breaks off,
   * or does not fit the budget.
   */
  readAll(maxBytes: number, budget: BodyBudget, lane?: Lane): Promise<Buffer>;
  /** The fields after it as they came, names and values in turn. None are there before its end. */
  trailers(): readonly string[];
}

const none = () => [];

/** Wraps a body, so that an upstream that answers early does not destroy the client's connection. */
export function incomingBody(request: Readable, trailers: IncomingBody['trailers'] = none): IncomingBody {
  let passed: PassThrough | undefined;
  const stream = (): Readable => {
    if (passed) return passed;
    const through = new PassThrough();
    passed = through;
    through.on('error', () => {});
    request.pipe(through);
    request.once('error', (error) => through.destroy(error));
    request.once('close', () => {
      if (!request.readableEnded) through.destroy(new Error('the body was cut off'));
    });
    return through;
  };
  return { stream, readAll: (...how) => readWhole(stream(), ...how), trailers };
}

/** What is held while a client takes its time is held from all others. */
const maxReadMs = 10 * 60_000;

/**
 * Collects a body, in the turns of its session where a lane is given. Rejects with a RefusedError when it is larger,
 * breaks off, or does not fit the budget.
 */
export async function readWhole(
  body: Readable,
  maxBytes: number,
  budget: BodyBudget,
  lane?: Lane,
): Promise<Buffer> {
  const pieces = new Pieces();
  const pace = new Pace(lane);
  let bytes = 0;
  const timer = setTimeout(() => {
    const message = `The body took longer than ${maxReadMs / 60_000} minutes.`;
    body.destroy(new RefusedError(malformed('limit.body_time', message, 408)));
  }, maxReadMs);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (bytes + chunk.byteLength > maxBytes) {
        throw new RefusedError(
          refuse('body.too_large', `The body may have at most ${maxBytes} bytes here.`, 413),
        );
      }
      if (!budget.take(chunk.byteLength)) throw noRoom();
      bytes += chunk.byteLength;
      pieces.add(chunk);
      await pace.passed(chunk.byteLength);
    }
    return pieces.take();
  } catch (error) {
    if (error instanceof RefusedError) throw error;
    throw new RefusedError(malformed('http.body', 'The body broke off.'));
  } finally {
    clearTimeout(timer);
    budget.release(bytes);
  }
}
