/** One moment that moves again and again, by which something must have happened; moving it costs next to nothing. */
export class Deadline {
  readonly #onLate: () => void;
  #atMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  /** From now; in the place of what was set before. */
  set(ms: number): void {
    const now = performance.now();
    this.#atMs = now + ms;
    // A timer that comes too early looks again; only one that would come too late is made anew.
    if (this.#atMs < this.#timerAtMs) this.#start(now);
  }

  /** Nothing is due any more. */
  clear(): void {
    this.#atMs = Number.POSITIVE_INFINITY;
  }

  /** The same, and no timer is left. */
  stop(): void {
    this.clear();
    clearTimeout(this.#timer);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }

  #start(now: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = this.#atMs;
    this.#timer = setTimeout(() => this.#look(), Math.max(1, Math.ceil(this.#atMs - now)));
    this.#timer.unref();
  }

  #look(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    if (this.#atMs === Number.POSITIVE_INFINITY) return;
    const now = performance.now();
    if (now < this.#atMs) return void this.#start(now);
    this.clear();
    this.#onLate();
  }
}
