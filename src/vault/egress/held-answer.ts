import { type BodyBudget, Pieces } from './bodies.ts';

/** An answer that goes back only after it was judged. */
export interface Hold {
  maxBytes: number;
  /** Given the whole body; undefined where it is too large, or in no form that can be read. Rejects to keep it back. */
  judge(body: Buffer | undefined): Promise<void>;
}

/** What has come of an answer that is held back, bounded by what is held over the whole process. */
export class HeldAnswer {
  readonly #pieces = new Pieces();
  readonly #budget: BodyBudget;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number, budget: BodyBudget) {
    this.#maxBytes = maxBytes;
    this.#budget = budget;
  }

  /** False when there is no room for it; it is kept all the same, so that nothing is lost. */
  add(chunk: Buffer): boolean {
    const fits = this.#bytes + chunk.byteLength <= this.#maxBytes && this.#budget.take(chunk.byteLength);
    this.#pieces.add(chunk);
    if (fits) this.#bytes += chunk.byteLength;
    return fits;
  }

  /** All of it, which is held no longer. */
  take(): Buffer {
    this.#budget.release(this.#bytes);
    this.#bytes = 0;
    return this.#pieces.take();
  }
}
