import type { EgressLimits } from '../../config.ts';
import { type Refusal, tooMuch } from './refusal.ts';

/** So many per second over time, and up to twice as many at once. */
class Bucket {
  readonly #perSecond: number;
  readonly #now: () => number;
  #left: number;
  #at: number;

  constructor(perSecond: number, now: () => number) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#left = perSecond * 2;
    this.#at = now();
  }

  /** Takes one. False when there is none now; one is there again within a second. */
  take(): boolean {
    const now = this.#now();
    // A clock that was set back gives nothing and takes nothing.
    const passedMs = Math.max(0, now - this.#at);
    this.#left = Math.min(this.#perSecond * 2, this.#left + (passedMs / 1000) * this.#perSecond);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

const hourMs = 60 * 60_000;

/** Bytes since the beginning of a period of one hour, which begins with the first byte after the last one's end. */
class HourlyBytes {
  readonly #maxBytes: number | undefined;
  readonly #now: () => number;
  #since = Number.NEGATIVE_INFINITY;
  #bytes = 0;

  constructor(maxMib: number | undefined, now: () => number) {
    this.#maxBytes = maxMib === undefined ? undefined : maxMib * 1024 * 1024;
    this.#now = now;
  }

  add(bytes: number): void {
    if (this.#maxBytes === undefined) return;
    const now = this.#now();
    if (now - this.#since >= hourMs) {
      this.#since = now;
      this.#bytes = 0;
    }
    this.#bytes += bytes;
  }

  /** Seconds until there is room again; undefined while there is. */
  get waitSeconds(): number | undefined {
    const leftMs = this.#since + hourMs - this.#now();
    if (this.#maxBytes === undefined || this.#bytes < this.#maxBytes || leftMs <= 0) return undefined;
    return Math.ceil(leftMs / 1000);
  }
}

/** Counts what one session uses, and says no before anything is spent on what is too much. */
export class SessionLimits {
  readonly #limits: EgressLimits;
  readonly #now: () => number;
  readonly #connections: Bucket;
  readonly #requests: Bucket;
  readonly #names: Bucket;
  readonly #up: HourlyBytes;
  readonly #down: HourlyBytes;
  readonly #recordedAt = new Map<string, number>();
  #active = 0;

  constructor(limits: EgressLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#connections = new Bucket(limits.maxConnectionsPerSecond, now);
    this.#requests = new Bucket(limits.maxRequestsPerSecond, now);
    this.#names = new Bucket(limits.maxRequestsPerSecond, now);
    this.#up = new HourlyBytes(limits.maxMibUpPerHour, now);
    this.#down = new HourlyBytes(limits.maxMibDownPerHour, now);
  }

  /** A connection comes while so many are open. */
  connect(open: number): Refusal | undefined {
    const { maxConnections, maxConnectionsPerSecond } = this.#limits;
    if (open >= maxConnections) {
      return tooMuch('limit.connections', `A session may have ${maxConnections} connections at once.`);
    }
    if (!this.#connections.take()) {
      return tooMuch(
        'limit.connections_per_second',
        `A session may open ${maxConnectionsPerSecond} connections per second. Keep them open for more than one request.`,
      );
    }
    return this.bytesRefusal();
  }

  /** A request comes. What was let in is let out with `leave`. */
  enter(): Refusal | undefined {
    const refusal = this.#over();
    if (!refusal) this.#active += 1;
    return refusal;
  }

  #over(): Refusal | undefined {
    const { maxRequests, maxRequestsPerSecond } = this.#limits;
    if (this.#active >= maxRequests) {
      return tooMuch('limit.requests', `A session may have ${maxRequests} requests under way at once.`);
    }
    if (!this.#requests.take()) {
      return tooMuch(
        'limit.requests_per_second',
        `A session may make ${maxRequestsPerSecond} requests per second.`,
      );
    }
    return this.bytesRefusal();
  }

  leave(): void {
    this.#active -= 1;
  }

  /** A name is asked for; false when it stays without an answer. */
  ask(): boolean {
    return this.#names.take();
  }

  /** Whether bytes are counted at all. */
  get countsBytes(): boolean {
    return this.#limits.maxMibUpPerHour !== undefined || this.#limits.maxMibDownPerHour !== undefined;
  }

  /** Counts what came over the session's connections and what was sent. */
  passed(up: number, down: number): void {
    if (up > 0) this.#up.add(up);
    if (down > 0) this.#down.add(down);
  }

  /** Whether the bytes of the hour are used up. */
  bytesRefusal(): Refusal | undefined {
    const { maxMibUpPerHour, maxMibDownPerHour } = this.#limits;
    const up = this.#up.waitSeconds;
    if (up !== undefined) {
      return tooMuch('limit.bytes_up', `A session may send ${maxMibUpPerHour} MiB per hour.`, up);
    }
    const down = this.#down.waitSeconds;
    return down === undefined
      ? undefined
      : tooMuch('limit.bytes_down', `A session may receive ${maxMibDownPerHour} MiB per hour.`, down);
  }

  /** Whether to record it: one of each kind per second. A flood of records would cost more than the flood. */
  isNotable({ rule }: Refusal): boolean {
    const now = this.#now();
    const last = this.#recordedAt.get(rule);
    if (last !== undefined && Math.abs(now - last) < 1_000) return false;
    this.#recordedAt.set(rule, now);
    return true;
  }
}
