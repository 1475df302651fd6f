import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { EgressChild, EgressGoneError } from './child.ts';
import type { Notification, NotificationResult } from './notifications.ts';
import { createPlatformFetch } from './platform-fetch.ts';
import type {
  EgressControl,
  EgressHealth,
  EgressStart,
  ListenerHandle,
  ListenerRole,
  PlatformPrincipal,
  RemoteProxyAccess,
} from './protocol.ts';

export interface EgressOptions {
  start: Omit<EgressStart, 'type'>;
  logger: Logger;
  /** The program that runs as the egress process; ours by default. */
  entry?: string;
}

/** What the worker remembers of a session, to tell a new egress process. */
interface KeptSession {
  organizationId: string;
  sessionId: string;
  sealedAuthority: string;
  turnId: string | null;
  /** The process that has it open. */
  knownBy: EgressChild;
  listeners: Map<ListenerHandle, ListenerRole>;
}

/** The worker's control, with what only the composition root uses. */
export interface RunningEgress extends EgressControl {
  /** Derives an organization's public sealing key, writes it into `organizations`, and answers it. */
  sealingKey(organizationId: string): Promise<Record<string, unknown>>;
  /** Posts a notice to one of the organization's addresses; rejects where the egress process cannot be asked. */
  notify(notification: Notification): Promise<NotificationResult>;
  /** Whether a text holds one of the organization's secrets, which only the egress process knows. */
  checkText(organizationId: string, text: string): Promise<{ ok: true } | { ok: false; reason: string }>;
}

/** In a packed installation the program is JavaScript, beside us as it is here. */
const ownEntry = fileURLToPath(
  new URL(`../../egress${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
);
/** A process that lived this long died of something new: it is started again at once. */
const steadyMs = 10_000;
const maxBackoffMs = 5_000;
/** How long a platform call waits for the process to be back. */
const patienceMs = 10_000;
/** How long what a sandbox cannot start without waits for it. */
const longPatienceMs = 30_000;
/** `doctor` wants to hear soon. */
const healthPatienceMs = 5_000;
const stopGraceMs = 3_000;

/**
 * Starts the egress process and keeps it running: when it dies it is started again, its sessions are opened again
 * under the same authority, and their listeners, of which the worker keeps a copy that does not accept, are handed
 * over again. Rejects when it cannot be started the first time.
 */
export async function startEgress(options: EgressOptions): Promise<RunningEgress> {
  const supervisor = new Supervisor(options);
  await supervisor.begin();
  return supervisor;
}

class Supervisor implements RunningEgress {
  readonly #options: EgressOptions;
  readonly #sessions = new Map<string, KeptSession>();
  #child: EgressChild;
  /** Resolves when the running process has been told everything. */
  #ready: Promise<EgressChild>;
  #stopping = false;
  #earlyDeaths = 0;

  constructor(options: EgressOptions) {
    this.#options = options;
    this.#child = this.#spawn();
    this.#ready = this.#child.ready.then(() => this.#child);
    this.#ready.catch(() => {});
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async begin(): Promise<void> {
    await this.#ready;
    void this.#watch(this.#child, Date.now());
  }

  async openSession(session: {
    organizationId: string;
    sessionId: string;
  }): Promise<{ caCertificatePem: string; environment: Record<string, string> }> {
    const { organizationId, sessionId } = session;
    const [opened, knownBy] = await this.#ask(async (child) => {
      const known = this.#sessions.get(sessionId);
      const sealedAuthority = known?.organizationId === organizationId ? known.sealedAuthority : undefined;
      const answer = await child.request({
        type: 'open_session',
        organizationId,
        sessionId,
        ...(sealedAuthority ? { sealedAuthority } : {}),
      });
      return [answer, child] as const;
    });
    const { sealedAuthority } = opened;
    const kept = this.#sessions.get(sessionId);
    if (kept) Object.assign(kept, { sealedAuthority, knownBy });
    else {
      const listeners = new Map<ListenerHandle, ListenerRole>();
      const whose = { organizationId, sessionId };
      this.#sessions.set(sessionId, { ...whose, sealedAuthority, turnId: null, knownBy, listeners });
    }
    return { caCertificatePem: opened.caCertificatePem, environment: opened.environment };
  }

  async addListener(sessionId: string, handle: ListenerHandle, role: ListenerRole = 'proxy'): Promise<void> {
    const session = this.#sessions.get(sessionId);
    if (!session) throw new Error(`The session ${sessionId} is not open.`);
    await this.#ask(async (child) => {
      await this.#knows(child, session);
      await child.request({ type: 'add_listener', sessionId, role }, handle);
    });
    session.listeners.set(handle, role);
  }

  setTurn(sessionId: string, turnId: string | null): void {
    const session = this.#sessions.get(sessionId);
    if (session) session.turnId = turnId;
    this.#child.setTurn(sessionId, turnId);
  }

  async closeSession(sessionId: string): Promise<void> {
    const session = this.#sessions.get(sessionId);
    this.#sessions.delete(sessionId);
    for (const handle of session?.listeners.keys() ?? []) closeHandle(handle);
    // A process that dies over this has closed it too.
    await this.#child.request({ type: 'close_session', sessionId }).catch(() => {});
  }

  remoteProxy(sessionId: string): Promise<RemoteProxyAccess> {
    return this.#ask((child) => child.request({ type: 'remote_proxy', sessionId }));
  }

  platformFetch(principal: PlatformPrincipal): typeof fetch {
    return createPlatformFetch({
      socketPath: this.#options.start.platformSocket,
      principal,
      ready: () => this.#patient(patienceMs),
      patienceMs,
    });
  }

  sealingKey(organizationId: string): Promise<Record<string, unknown>> {
    return this.#ask((child) => child.request({ type: 'sealing_key', organizationId }));
  }

  checkText(organizationId: string, text: string): Promise<{ ok: true } | { ok: false; reason: string }> {
    return this.#ask((child) => child.request({ type: 'check_text', organizationId, text }));
  }

  notify(notification: Notification): Promise<NotificationResult> {
    return this.#ask((child) => child.request({ type: 'notify', notification }));
  }

  async health(): Promise<EgressHealth> {
    try {
      const asked = this.#ask((child) => child.request({ type: 'health' }), healthPatienceMs);
      return await within(asked, healthPatienceMs);
    } catch (error) {
      return { ok: false, message: `The egress process does not answer: ${(error as Error).message}` };
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#child.stop(stopGraceMs);
    for (const { listeners } of this.#sessions.values()) {
      for (const handle of listeners.keys()) closeHandle(handle);
    }
    this.#sessions.clear();
  }

  #spawn(): EgressChild {
    const { start, logger, entry } = this.#options;
    return new EgressChild(entry ?? ownEntry, start, logger);
  }

  async #watch(child: EgressChild, since: number): Promise<void> {
    await child.exited;
    if (this.#stopping) return;
    this.#earlyDeaths = Date.now() - since > steadyMs ? 0 : this.#earlyDeaths + 1;
    const backoffMs = this.#earlyDeaths <= 1 ? 0 : Math.min(maxBackoffMs, 50 * 2 ** this.#earlyDeaths);
    this.#options.logger.warn({ backoffMs }, 'The egress process died; it is started again.');
    this.#ready = this.#restart(backoffMs);
    this.#ready.catch(() => {});
  }

  async #restart(backoffMs: number): Promise<EgressChild> {
    if (backoffMs > 0) await new Promise((resolve) => setTimeout(resolve, backoffMs));
    if (this.#stopping) throw new EgressGoneError('The egress process is stopped.');
    const child = this.#spawn();
    this.#child = child;
    void this.#watch(child, Date.now());
    await child.ready;
    await Promise.all([...this.#sessions.values()].map((session) => this.#handOver(child, session)));
    return child;
  }

  async #handOver(child: EgressChild, session: KeptSession): Promise<void> {
    try {
      await this.#knows(child, session);
      for (const [handle, role] of session.listeners) {
        // Its sandbox has ended.
        if (isClosed(handle)) {
          session.listeners.delete(handle);
          continue;
        }
        await child.request({ type: 'add_listener', sessionId: session.sessionId, role }, handle);
      }
      child.setTurn(session.sessionId, session.turnId);
      // Closed meanwhile.
      if (!this.#sessions.has(session.sessionId)) {
        await child.request({ type: 'close_session', sessionId: session.sessionId });
      }
    } catch (err) {
      if (err instanceof EgressGoneError) throw err;
      const { sessionId } = session;
      this.#options.logger.error({ err, sessionId }, 'A session could not be handed over again.');
    }
  }

  async #knows(child: EgressChild, session: KeptSession): Promise<void> {
    if (session.knownBy === child) return;
    const { organizationId, sessionId, sealedAuthority } = session;
    await child.request({ type: 'open_session', organizationId, sessionId, sealedAuthority });
    session.knownBy = child;
  }

  /** Asks the process, and the next one when this one dies over it. */
  async #ask<T>(ask: (child: EgressChild) => Promise<T>, timeoutMs = longPatienceMs): Promise<T> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const child = await this.#patient(end - Date.now());
      try {
        return await ask(child);
      } catch (error) {
        if (!(error instanceof EgressGoneError) || this.#stopping || Date.now() > end) throw error;
        await child.exited;
      }
    }
  }

  /** The running process, as soon as there is one. */
  async #patient(timeoutMs: number): Promise<EgressChild> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      try {
        return await within(this.#ready, end - Date.now());
      } catch (error) {
        if (this.#stopping || Date.now() >= end) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new EgressGoneError('The egress process is not running.')),
      Math.max(0, timeoutMs),
    );
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function isClosed(handle: ListenerHandle): boolean {
  return ((handle as { fd?: number }).fd ?? -1) < 0;
}

function closeHandle(handle: ListenerHandle): void {
  (handle as { close?: () => void }).close?.();
}
