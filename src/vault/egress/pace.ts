import type { Lane } from './fair-queue.ts';

/** So much of a body goes by before it takes a turn: what is small was paid for with its request. */
const onAccountBytes = 32 * 1024;
/** A small piece costs as much as this many bytes. */
const leastBytes = 1024;

/** Lets the pieces of one body go by in the turns of its session. */
export class Pace {
  readonly #lane: Lane | undefined;
  #unpaidBytes = 0;

  constructor(lane: Lane | undefined) {
    this.#lane = lane;
  }

  /** Told of each piece that goes by. Undefined when the next may come now; else resolves when it may. */
  passed(pieceBytes: number): Promise<void> | undefined {
    if (!this.#lane) return undefined;
    this.#unpaidBytes += Math.max(pieceBytes, leastBytes);
    if (this.#unpaidBytes < onAccountBytes) return undefined;
    const bytes = this.#unpaidBytes;
    this.#unpaidBytes = 0;
    return this.#lane.takeBody(bytes);
  }
}

/** Stops a stream for as long as somebody has a reason for it. */
export class Brake {
  readonly #stream: { pause(): unknown; resume(): unknown };
  #reasons = 0;

  constructor(stream: { pause(): unknown; resume(): unknown }) {
    this.#stream = stream;
  }

  /** Holds it until the function that is given back is called. */
  hold(): () => void {
    this.#reasons += 1;
    if (this.#reasons === 1) this.#stream.pause();
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#reasons -= 1;
      if (this.#reasons === 0) this.#stream.resume();
    };
  }
}
