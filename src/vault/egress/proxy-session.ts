import type { Socket } from 'node:net';
import { TimedCache } from '../timed-cache.ts';
import { BodyBudget } from './bodies.ts';
import type { SessionAuthority } from './certificates.ts';
import type { Lane } from './fair-queue.ts';
import { SessionLimits } from './limits.ts';
import { type EgressParts, recordRefusal } from './parts.ts';
import { readSessionPolicy } from './policy-reader.ts';
import { failed, type Refusal, RefusedError, rawRefusal } from './refusal.ts';
import type { SessionPolicy } from './session-policy.ts';
import { UpstreamPools } from './upstream-pools.ts';

/** How long a change of policy may take to be seen. */
const policyTtlMs = 1_000;
const countEveryMs = 500;
/** Of bodies at once, so that no session takes the room of all others. */
const maxHeldBytes = 96 * 1024 * 1024;
/** Connections that are kept until they are told why they are turned away; more are ended at once. */
const maxLeaving = 256;
/** Ended at once, who opens one after the other would come back at once. */
const tellAfterMs = 1_000;
const leaveMs = 1_000;

/** One session as the egress process knows it: its authority, its connections, and what the database lets it do. */
export class ProxySession {
  readonly organizationId: string;
  readonly sessionId: string;
  readonly authority: SessionAuthority;
  readonly pools: UpstreamPools;
  readonly limits: SessionLimits;
  /** Its part of the event loop. */
  readonly lane: Lane;
  /** Of the memory for bodies that are held whole. */
  readonly budget: BodyBudget;
  /** What the branches and tags of a repository pointed to when they were last listed to the agent. */
  readonly gitTips = new Map<string, Set<string>>();
  #turnId: string | null = null;
  readonly #parts: EgressParts;
  readonly #policies: TimedCache<SessionPolicy | undefined>;
  readonly #closers = new Set<() => void>();
  readonly #sockets = new Set<Socket>();
  readonly #leaving = new Set<Socket>();
  readonly #counted = new WeakMap<Socket, { up: number; down: number }>();

  constructor(parts: EgressParts, organizationId: string, sessionId: string, authority: SessionAuthority) {
    this.#parts = parts;
    this.organizationId = organizationId;
    this.sessionId = sessionId;
    this.authority = authority;
    this.lane = parts.queue.lane();
    this.pools = new UpstreamPools(parts.network, this.lane);
    this.limits = new SessionLimits(parts.limits, parts.now);
    this.budget = new BodyBudget(maxHeldBytes, parts.budget);
    this.#policies = new TimedCache(policyTtlMs, 1, parts.now);
    if (this.limits.countsBytes) {
      const timer = setInterval(() => this.#watchBytes(), countEveryMs).unref();
      this.addCloser(() => clearInterval(timer));
    }
  }

  /** Makes a new session known. Rejects with a RefusedError when this organization has no such session. */
  static async open(
    parts: EgressParts,
    organizationId: string,
    sessionId: string,
    authority: SessionAuthority,
  ): Promise<ProxySession> {
    const session = new ProxySession(parts, organizationId, sessionId, authority);
    await session.policy();
    return session;
  }

  get turnId(): string | null {
    return this.#turnId;
  }

  /** A turn begins or ends. What it was given to read may lower what it may do, so the policy is read anew. */
  set turnId(turnId: string | null) {
    this.#turnId = turnId;
    this.forgetPolicy();
  }

  /** The next request is judged by what the database says then: what the agent is about to be given may lower it. */
  forgetPolicy(): void {
    this.#policies.forget('');
  }

  /** What it may do now. Rejects with a RefusedError when the database does not say. */
  async policy(): Promise<SessionPolicy> {
    let policy: SessionPolicy | undefined;
    try {
      policy = await this.#read();
      const now = this.#parts.now();
      if (policy?.credentials.some(({ until }) => until !== undefined && until <= now)) {
        this.#policies.forget('');
        policy = await this.#read();
      }
    } catch (error) {
      this.#parts.logger.warn(
        { err: error, sessionId: this.sessionId },
        'The policy of a session cannot be read.',
      );
      throw new RefusedError(
        failed('policy.unavailable', 'What this session may do cannot be read now. Try again.', 503),
      );
    }
    if (!policy) throw new RefusedError(failed('session.unknown', 'There is no such session.', 403));
    return policy;
  }

  #read(): Promise<SessionPolicy | undefined> {
    const { database, now } = this.#parts;
    return this.#policies.get('', () =>
      readSessionPolicy(database, this.organizationId, this.sessionId, now()),
    );
  }

  /** The placeholders of its variables; none when the database does not say. */
  async environment(): Promise<Record<string, string>> {
    const policy = await this.policy().catch(() => undefined);
    const variables = policy?.credentials.flatMap(({ detail: { variable } }) => variable ?? []) ?? [];
    // Of two of one name the first vault's counts, as everywhere.
    return Object.fromEntries(variables.reverse().map(({ name, placeholder }) => [name, placeholder]));
  }

  /** Called when the session is closed: ends what accepts for it. */
  addCloser(close: () => void): void {
    this.#closers.add(close);
  }

  /** Counts a connection in; false when there are too many: it is told so, if it can be told in plain, and ended. */
  admit(socket: Socket, isPlain: boolean): boolean {
    const refusal = this.limits.connect(this.#sockets.size);
    if (refusal) {
      this.#recordLimit(refusal, isPlain ? 'http' : 'https');
      this.#turnAway(socket, isPlain ? rawRefusal(refusal) : undefined);
      return false;
    }
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#count(socket);
      this.#sockets.delete(socket);
    });
    return true;
  }

  /** Says why, after a while and where there is room for saying it, and ends the connection. */
  #turnAway(socket: Socket, why: Buffer | undefined): void {
    if (this.#leaving.size >= maxLeaving) return void socket.destroy();
    this.#leaving.add(socket);
    let timer = setTimeout(() => {
      timer = setTimeout(() => socket.destroy(), why ? leaveMs : 0);
      // Closed with something unread, it would be reset, and the answer lost.
      socket.resume();
      if (why) socket.end(why);
    }, tellAfterMs);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#leaving.delete(socket);
    });
  }

  /** What went over a connection since it was last asked, whatever is spoken on it. */
  #count(socket: Socket): void {
    const { up = 0, down = 0 } = this.#counted.get(socket) ?? {};
    const now = { up: socket.bytesRead, down: socket.bytesWritten };
    this.#counted.set(socket, now);
    this.limits.passed(now.up - up, now.down - down);
  }

  /** Ends all connections once the hour's bytes are used up. */
  #watchBytes(): void {
    for (const socket of this.#sockets) this.#count(socket);
    const refusal = this.limits.bytesRefusal();
    if (!refusal || this.#sockets.size === 0) return;
    this.#recordLimit(refusal, 'https');
    for (const socket of this.#sockets) socket.destroy();
  }

  #recordLimit(refusal: Refusal, scheme: 'http' | 'https'): void {
    if (!this.limits.isNotable(refusal)) return;
    const { organizationId, sessionId, turnId } = this;
    const whose = { organizationId, sessionId, turnId, installationId: null };
    const where = { method: 'CONNECT', scheme, host: '', port: 0, path: '' };
    recordRefusal(this.#parts, { ...whose, ...where, at: new Date(this.#parts.now()) }, refusal);
  }

  async close(): Promise<void> {
    for (const close of this.#closers) close();
    this.lane.close();
    for (const socket of [...this.#sockets, ...this.#leaving]) socket.destroy();
    await this.pools.destroy();
  }
}
