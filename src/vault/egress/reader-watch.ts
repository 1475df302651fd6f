import type { ClientResponse } from './client-messages.ts';
import { Deadline } from './deadline.ts';

/** Tells a client that takes what it is sent slowly from one that takes nothing. */
export class Unsent {
  #bytes = Number.POSITIVE_INFINITY;

  /** Whether something is left, and less of it than when it was last looked at. */
  shrinks(bytes: number): boolean {
    const before = this.#bytes;
    this.#bytes = bytes;
    return bytes > 0 && bytes < before;
  }

  /** All was taken since. */
  forget(): void {
    this.#bytes = Number.POSITIVE_INFINITY;
  }
}

/** Lets an upstream wait while its reader takes no more, and gives up a reader that takes nothing at all for so long. */
export class ReaderWatch {
  readonly #response: ClientResponse;
  readonly #idleMs: number;
  readonly #gone: () => void;
  readonly #deadline = new Deadline(() => this.#late());
  readonly #unsent = new Unsent();

  constructor(response: ClientResponse, idleMs: number, gone: () => void) {
    this.#response = response;
    this.#idleMs = idleMs;
    this.#gone = gone;
  }

  /** The reader has all that it can hold: the upstream, which was stopped, goes on once that was taken. */
  wait(goOn: () => void): void {
    this.#unsent.forget();
    this.#unsent.shrinks(this.#response.writableLength);
    this.#deadline.set(this.#idleMs);
    this.#response.once('drain', () => {
      this.#deadline.clear();
      goOn();
    });
  }

  stop(): void {
    this.#deadline.stop();
  }

  #late(): void {
    if (this.#unsent.shrinks(this.#response.writableLength)) this.#deadline.set(this.#idleMs);
    else this.#gone();
  }
}
