import { Readable } from 'node:stream';
import { type BodyBudget, type IncomingBody, readWhole } from './bodies.ts';
import type { Lane } from './fair-queue.ts';
import { BodyReader } from './http1-body.ts';
import type { RequestFraming } from './http1-head.ts';

/** The body of a request of HTTP/1.1 as it comes. Thrown away by who reads it, it is taken off the connection unread. */
export class Http1Body extends Readable implements IncomingBody {
  readonly reader: BodyReader;
  readonly #wanted: () => void;

  /** `wanted` is called when there is room for more. */
  constructor(framing: RequestFraming, wanted: () => void) {
    super({ highWaterMark: 64 * 1024 });
    this.reader = new BodyReader(framing);
    this.#wanted = wanted;
    // It may break before anybody reads it.
    this.on('error', () => {});
  }

  /** Takes a piece from the connection; false when no more should come for now. */
  add(piece: Buffer): boolean {
    return this.destroyed || this.push(piece);
  }

  /** It is whole. */
  complete(): void {
    if (!this.destroyed) this.push(null);
  }

  override _read(): void {
    this.#wanted();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#wanted();
    done(error);
  }

  stream(): Readable {
    return this;
  }

  readAll(maxBytes: number, budget: BodyBudget, lane?: Lane): Promise<Buffer> {
    return readWhole(this, maxBytes, budget, lane);
  }

  trailers(): readonly string[] {
    return this.reader.trailers;
  }
}

/** Of a request without one. */
export const noBody: IncomingBody = {
  stream: () => Readable.from([]),
  readAll: async () => Buffer.alloc(0),
  trailers: () => [],
};
