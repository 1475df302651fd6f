/**
 * What a piece of work takes of the one event loop, in small requests (`npm run bench -- --only egress`): one is 40 µs,
 * a handshake with a client 0.5 ms, one with an upstream, whose certificate is checked, 0.7 ms.
 */
export const costs = { request: 1, connect: 2, handshake: 12, dial: 16 } as const;
/** So much of a body goes by in the time of a small request. */
const bytesPerCost = 20 * 1024;

/** What a session may take at once, and what of it comes back. Who takes more waits until the loop has time. */
const laneAtOnce = 32;
const lanePerMs = 0.5;
/** What starts of all that waits in a pass in which nothing else was to be done. */
const perIdlePass = 1;
/** What starts beside the work that does not wait, as a part of that. */
const shareBeside = 0.25;
/** Of bodies, what goes by in a pass without waiting: one stream shall not stop for each of its pieces. */
const bodiesPerPass = 2;
/** The same while nobody else is there who would wait for it. */
const bodiesPerOwnPass = 64;
const nobodyElseMs = 1_000;
/** Of one session; more than it may have open connections. */
const maxWaiting = 1_024;

interface Waiting {
  cost: number;
  go: () => void;
}

export interface FairQueueOptions {
  /** Milliseconds that never go back. */
  now: () => number;
  /** Calls once the event loop has looked after everything that is ready. */
  afterPass: (run: () => void) => void;
}

/**
 * Shares the event loop between sessions. What a session does now and then is done at once; what it does in masses
 * waits in its own line, and of all lines, one after the other, a little is started in each pass of the loop that has
 * nothing else to do. So others wait for that little at most, however much there is.
 */
export class FairQueue {
  readonly #options: FairQueueOptions;
  /** In the order in which it is their turn. */
  readonly #lanes: Lane[] = [];
  #isDue = false;
  /** Taken without waiting since the last pass. */
  #taken = 0;
  #left = 0;
  #spare = bodiesPerOwnPass;
  #last: Lane | undefined;
  #sharedAt = Number.NEGATIVE_INFINITY;

  constructor(options: Partial<FairQueueOptions> = {}) {
    this.#options = { now: () => performance.now(), afterPass: setImmediate, ...options };
  }

  lane(): Lane {
    return new Lane(this);
  }

  /** Somebody comes. Gives the time. */
  comes(lane: Lane): number {
    const now = this.#options.now();
    if (lane !== this.#last) this.#sharedAt = now;
    this.#last = lane;
    return now;
  }

  get now(): number {
    return this.#options.now();
  }

  /** Something is done without waiting. */
  took(cost: number): void {
    this.#taken += cost;
  }

  /** A lane in which nothing waited is one now in which something does. */
  join(lane: Lane): void {
    this.#lanes.push(lane);
    this.#schedule();
  }

  /** Whether something of a body may still go by in this pass. */
  spares(cost: number): boolean {
    if (this.#spare <= 0) return false;
    this.#spare -= cost;
    this.#schedule();
    return true;
  }

  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#taken = 0;
    this.#options.afterPass(() => this.#pass());
  }

  #pass(): void {
    this.#isDue = false;
    const isShared = this.#options.now() - this.#sharedAt < nobodyElseMs;
    this.#spare = isShared ? bodiesPerPass : bodiesPerOwnPass;
    this.#left =
      this.#taken > 0 ? Math.min(perIdlePass, this.#left + this.#taken * shareBeside) : perIdlePass;
    while (this.#left > 0) {
      const lane = this.#lanes.shift();
      if (!lane) return;
      this.#left -= lane.next();
      if (lane.isWaiting) this.#lanes.push(lane);
    }
    if (this.#lanes.length > 0) this.#schedule();
  }
}

/** The line of one session. */
export class Lane {
  readonly #queue: FairQueue;
  readonly #waiting: Waiting[] = [];
  #left = laneAtOnce;
  #at: number;

  constructor(queue: FairQueue) {
    this.#queue = queue;
    this.#at = queue.now;
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether so much waits that more should be ended instead. */
  get isCrowded(): boolean {
    return this.#waiting.length >= maxWaiting;
  }

  /** Undefined when the work can be done now; else resolves when it is its turn. */
  take(cost: number): Promise<void> | undefined {
    return this.#isFree(cost) ? undefined : this.#wait(cost);
  }

  /** The same of a part of a body. */
  takeBody(bytes: number): Promise<void> | undefined {
    const cost = bytes / bytesPerCost;
    const isFree = this.#isFree(cost) || (!this.isWaiting && this.#queue.spares(cost));
    return isFree ? undefined : this.#wait(cost);
  }

  #isFree(cost: number): boolean {
    const now = this.#queue.comes(this);
    this.#left = Math.min(laneAtOnce, this.#left + (now - this.#at) * lanePerMs);
    this.#at = now;
    if (this.isWaiting || this.#left <= 0) return false;
    this.#left -= cost;
    this.#queue.took(cost);
    return true;
  }

  #wait(cost: number): Promise<void> {
    return new Promise((go) => {
      if (this.#waiting.push({ cost, go }) === 1) this.#queue.join(this);
    });
  }

  /** Lets the first go that waits. Gives what it costs. */
  next(): number {
    const next = this.#waiting.shift();
    next?.go();
    return next?.cost ?? 0;
  }
}
