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
/** What starts of all that waits in a pass in which nothing was taken at once. */
const perIdlePass = 1;
/** What starts beside what is taken at once, as a part of that. */
const shareBeside = 0.25;
/** Of bodies, what goes by in a pass without waiting: one stream shall not stop for each of its pieces. */
const bodiesPerPass = 2;
/**
 * Of everything, while nobody else is there who would wait for it, where one piece in each pass would make it half as
 * dear again. Whoever comes anew waits for this much once.
 */
const perOwnPass = 32;
const nobodyElseMs = 1_000;
/** In one line, more than there should ever be. */
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
 * waits in its own line. In each pass of the loop a little of that is started, of all lines as much by cost: one piece
 * of work where nothing is done at once, and beside that as much as a part of it. So whoever comes with little waits for
 * one such piece at most, however much there is.
 */
export class FairQueue {
  readonly #options: FairQueueOptions;
  readonly #lanes = new Set<Lane>();
  /** What the line that was served last has had: who comes anew begins there, and not with all that it never took. */
  #had = 0;
  #isDue = false;
  /** Taken at once since the last pass. */
  #taken = 0;
  #left = 0;
  #spare = perOwnPass;
  #last: Lane | undefined;
  #sharedAt = Number.NEGATIVE_INFINITY;

  constructor(options: Partial<FairQueueOptions> = {}) {
    this.#options = { now: () => performance.now(), afterPass: setImmediate, ...options };
  }

  lane(): Lane {
    return new Lane(this);
  }

  get now(): number {
    return this.#options.now();
  }

  /** Takes note that a session does something. */
  seen(lane: Lane, now: number): void {
    if (this.#last && lane !== this.#last) this.#sharedAt = now;
    this.#last = lane;
  }

  /** Something is done at once. */
  took(cost: number): void {
    this.#taken += cost;
  }

  /** A line in which nothing waited is one now in which something does. Gives the least that it counts as having had. */
  join(lane: Lane): number {
    this.#lanes.add(lane);
    this.#schedule();
    return this.#had;
  }

  leave(lane: Lane): void {
    this.#lanes.delete(lane);
  }

  /** Whether nobody but the one that does something now has done anything lately. */
  isOwn(now: number): boolean {
    return now - this.#sharedAt >= nobodyElseMs;
  }

  /** Whether more may still be done in this pass without waiting. */
  spares(cost: number): boolean {
    if (this.#spare <= 0) return false;
    this.#spare -= cost;
    // Not for each of them: a pass that is asked for costs the loop one more look at the system.
    if (this.#spare < perOwnPass / 2) this.#schedule();
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
    const isOwn = this.isOwn(this.now);
    this.#spare = isOwn ? perOwnPass : bodiesPerPass;
    if (isOwn) this.#left = perOwnPass;
    else if (this.#taken === 0) this.#left = perIdlePass;
    else this.#left = Math.min(perIdlePass, this.#left + this.#taken * shareBeside);
    while (this.#left > 0) {
      const lane = this.#next();
      if (!lane) return;
      this.#had = lane.had;
      this.#left -= lane.serve();
      // Behind those that have had as much.
      this.#lanes.delete(lane);
      if (lane.isWaiting) this.#lanes.add(lane);
    }
    if (this.#lanes.size > 0) this.#schedule();
  }

  /** The line that has had least, and of equal ones the one that waits longest. */
  #next(): Lane | undefined {
    let next: Lane | undefined;
    for (const lane of this.#lanes) if (!next || lane.had < next.had) next = lane;
    return next;
  }
}

/** The line of one session. */
export class Lane {
  readonly #queue: FairQueue;
  readonly #waiting: Waiting[] = [];
  #left = laneAtOnce;
  #at: number;
  #had = 0;
  #isClosed = false;

  constructor(queue: FairQueue) {
    this.#queue = queue;
    this.#at = queue.now;
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether so much waits that what is refused anyway should not wait for being told so. */
  get isCrowded(): boolean {
    return this.#waiting.length >= maxWaiting;
  }

  /** The cost of what was done of what waited here, counted from what others had had. */
  get had(): number {
    return this.#had;
  }

  /** Undefined when the work can be done now; else resolves when it is its turn. */
  take(cost: number): Promise<void> | undefined {
    return this.#isFree(cost, false) ? undefined : this.#wait(cost);
  }

  /** The same of a part of a body. */
  takeBody(bytes: number): Promise<void> | undefined {
    const cost = bytes / bytesPerCost;
    return this.#isFree(cost, true) ? undefined : this.#wait(cost);
  }

  /** Lets the first go that waits. Gives what it costs. */
  serve(): number {
    const { cost, go } = this.#waiting.shift() ?? { cost: 0, go: () => {} };
    this.#had += cost;
    go();
    return cost;
  }

  /** Its session is over: nothing waits any more. */
  close(): void {
    this.#isClosed = true;
    this.#queue.leave(this);
    for (const { go } of this.#waiting.splice(0)) go();
  }

  #isFree(cost: number, isBody: boolean): boolean {
    if (this.#isClosed) return true;
    const { now } = this.#queue;
    this.#queue.seen(this, now);
    this.#left = Math.min(laneAtOnce, this.#left + (now - this.#at) * lanePerMs);
    this.#at = now;
    if (this.isWaiting) return false;
    if (this.#left <= 0) return (isBody || this.#queue.isOwn(now)) && this.#queue.spares(cost);
    this.#left -= cost;
    this.#queue.took(cost);
    return true;
  }

  #wait(cost: number): Promise<void> {
    return new Promise((go) => {
      if (this.#waiting.push({ cost, go }) === 1) this.#had = Math.max(this.#had, this.#queue.join(this));
    });
  }
}
