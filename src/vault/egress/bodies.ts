import { PassThrough, type Readable } from 'node:stream';
import { failed, malformed, RefusedError, refuse } from './refusal.ts';

/** Bounds the bytes of bodies that are held in memory over the whole process. */
export class BodyBudget {
  readonly #maxBytes: number;
  #held = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** False when there is no room now. What was taken is given back with `release`. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.#maxBytes) return false;
    this.#held += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#held -= bytes;
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
  /** Whole. Rejects with a RefusedError when it is larger, breaks off, or does not fit the budget. */
  readAll(maxBytes: number, budget: BodyBudget): Promise<Buffer>;
}

/** Wraps a body, so that an upstream that answers early does not destroy the client's connection. */
export function incomingBody(request: Readable): IncomingBody {
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
  return { stream, readAll: (maxBytes, budget) => readWhole(stream(), maxBytes, budget) };
}

/** Collects a body. Rejects with a RefusedError when it is larger, breaks off, or does not fit the budget. */
export async function readWhole(body: Readable, maxBytes: number, budget: BodyBudget): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (bytes + chunk.byteLength > maxBytes) {
        throw new RefusedError(
          refuse('body.too_large', `The body may have at most ${maxBytes} bytes here.`, 413),
        );
      }
      if (!budget.take(chunk.byteLength)) throw noRoom();
      bytes += chunk.byteLength;
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (error instanceof RefusedError) throw error;
    throw new RefusedError(malformed('http.body', 'The body broke off.'));
  } finally {
    budget.release(bytes);
  }
}
