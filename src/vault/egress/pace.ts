import type { Lane } from './fair-queue.ts';

/** So much of a body goes by before it takes a turn: what is small was paid for with its request. */
const onAccountBytes = 32 * 1024;
/** A small piece costs as much as this many bytes. */
const leastBytes = 1024;

interface Stoppable {
  pause(): unknown;
  resume(): unknown;
}

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

/** Stops a stream for as long as somebody has a reason for it. Nobody else may stop it, or let it go on. */
export class Brake {
  readonly #stream: Stoppable;
  #reasons = 0;

  constructor(stream: Stoppable) {
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

/** What stops a stream on its way to somebody: its session's turns, and whoever takes it slower than it comes. */
export class PacedStream {
  readonly #pace: Pace;
  readonly #brake: Brake;
  #drained: (() => void) | undefined;
  #isWaiting = false;

  constructor(stream: Stoppable, lane: Lane | undefined) {
    this.#pace = new Pace(lane);
    this.#brake = new Brake(stream);
  }

  /** Whether it waits for its turn. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** A piece came. */
  passed(bytes: number): void {
    const turn = this.#pace.passed(bytes);
    if (!turn) return;
    const goOn = this.#brake.hold();
    this.#isWaiting = true;
    void turn.then(() => {
      this.#isWaiting = false;
      goOn();
    });
  }

  /** No more can be taken now. */
  full(): void {
    this.#drained ??= this.#brake.hold();
  }

  /** More can be taken. */
  drained(): void {
    this.#drained?.();
    this.#drained = undefined;
  }
}
