import type { Socket } from 'node:net';
import { TimedCache } from '../timed-cache.ts';
import { SessionAuthority } from './certificates.ts';
import type { EgressParts } from './parts.ts';
import { readSessionPolicy } from './policy-reader.ts';
import { failed, RefusedError } from './refusal.ts';
import type { SessionPolicy } from './session-policy.ts';
import { UpstreamPools } from './upstream-pools.ts';

/** How long a change of policy may take to be seen. */
const policyTtlMs = 2_000;
const maxConnections = 512;

/** One session as the egress process knows it: its authority, its connections, and what the database lets it do. */
export class ProxySession {
  readonly organizationId: string;
  readonly sessionId: string;
  readonly authority: SessionAuthority;
  readonly pools: UpstreamPools;
  #turnId: string | null = null;
  readonly #parts: EgressParts;
  readonly #policies: TimedCache<SessionPolicy | undefined>;
  readonly #closers = new Set<() => void>();
  readonly #sockets = new Set<Socket>();

  constructor(parts: EgressParts, organizationId: string, sessionId: string, authority: SessionAuthority) {
    this.#parts = parts;
    this.organizationId = organizationId;
    this.sessionId = sessionId;
    this.authority = authority;
    this.pools = new UpstreamPools(parts.network);
    this.#policies = new TimedCache(policyTtlMs, 1, parts.now);
  }

  /** Makes the session known. Rejects with a RefusedError when this organization has no such session. */
  static async open(
    parts: EgressParts,
    organizationId: string,
    sessionId: string,
    exportedAuthority?: string,
  ): Promise<ProxySession> {
    const authority = exportedAuthority
      ? await SessionAuthority.import(exportedAuthority, parts.now)
      : await SessionAuthority.create(parts.now);
    const session = new ProxySession(parts, organizationId, sessionId, authority);
    // With an authority that was ours before, the session was there: it is served again even if the database is away.
    if (!exportedAuthority) await session.policy();
    return session;
  }

  get turnId(): string | null {
    return this.#turnId;
  }

  /** A turn begins or ends. What it was given to read may lower what it may do, so the policy is read anew. */
  set turnId(turnId: string | null) {
    this.#turnId = turnId;
    this.#policies.forget('');
  }

  /** What it may do now. Rejects with a RefusedError when the database does not say. */
  async policy(): Promise<SessionPolicy> {
    let policy: SessionPolicy | undefined;
    try {
      policy = await this.#policies.get('', () =>
        readSessionPolicy(this.#parts.database, this.organizationId, this.sessionId),
      );
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

  /** Counts a connection in; false when there are too many. */
  admit(socket: Socket): boolean {
    if (this.#sockets.size >= maxConnections) return false;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    return true;
  }

  async close(): Promise<void> {
    for (const close of this.#closers) close();
    for (const socket of this.#sockets) socket.destroy();
    await this.pools.destroy();
  }
}
