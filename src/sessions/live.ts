import type { Logger } from 'pino';
import type {
  AgentConnection,
  AgentInstructions,
  AgentProgram,
  ConnectInput,
  McpServerAddress,
} from '../agents/program.ts';
import type { Sandbox, SandboxLimits, SandboxPort } from '../sandbox/sandbox.ts';
import type { EgressControl } from '../vault/egress/protocol.ts';

export interface LiveOptions {
  sandbox: SandboxPort;
  egress: EgressControl;
  connectAgent(input: ConnectInput): Promise<AgentConnection>;
  program: AgentProgram;
  logger: Logger;
  limits: SandboxLimits;
  /** How long a session may sit idle before its sandbox is stopped. */
  idleMs: number;
  /** How many sandboxes may be up at once; the one that is idle for longest makes room. */
  maxLive: number;
}

export interface OpenInput {
  organizationId: string;
  sessionId: string;
  uid: number | undefined;
  directory: string;
  instructions: AgentInstructions;
  mcpServers: readonly McpServerAddress[];
  programSessionId: string | undefined;
  /** The fence of the lease under which it is opened. */
  fence: number;
}

/** An agent program that is up in its sandbox. */
export interface LiveSession {
  sessionId: string;
  sandbox: Sandbox;
  connection: AgentConnection;
  /** The fence of the last lease on this worker: a gap means that another worker ran the session meanwhile. */
  fence: number;
  /** Changes of these need a new program. */
  instructions: AgentInstructions;
}

interface Entry {
  live: LiveSession;
  busy: boolean;
  idleSince: number;
  timer: NodeJS.Timeout | undefined;
}

/** The agent programs that are up on this worker, kept warm between turns. */
export class LiveSessions {
  readonly #options: LiveOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new Map<string, Promise<void>>();

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The session's program, warm or newly started. Give it back with `release`. */
  async acquire(input: OpenInput): Promise<LiveSession> {
    const { sessionId } = input;
    await this.#closing.get(sessionId);
    const warm = this.#entries.get(sessionId);
    if (warm) {
      const sameProgram =
        warm.live.fence === input.fence &&
        warm.live.instructions.model === input.instructions.model &&
        warm.live.instructions.system === input.instructions.system;
      if (sameProgram) {
        clearTimeout(warm.timer);
        warm.busy = true;
        return warm.live;
      }
      await this.discard(sessionId);
    }
    await this.#makeRoom();
    const live = await this.#open(input);
    this.#entries.set(sessionId, { live, busy: true, idleSince: 0, timer: undefined });
    live.sandbox.closed.then(() => {
      if (this.#entries.get(sessionId)?.live === live) void this.discard(sessionId);
    });
    return live;
  }

  /** The turn is over: keep the program warm for a while. */
  release(sessionId: string, now: number): void {
    const entry = this.#entries.get(sessionId);
    if (!entry) return;
    entry.busy = false;
    entry.idleSince = now;
    entry.timer = setTimeout(() => void this.discard(sessionId), this.#options.idleMs);
    entry.timer.unref();
  }

  /**
   * A new lease was taken: when it is the very next one, nobody else ran the session meanwhile and the warm program
   * still has its whole memory.
   */
  adopt(sessionId: string, fence: number): void {
    const entry = this.#entries.get(sessionId);
    if (entry?.live.fence === fence - 1) entry.live.fence = fence;
  }

  get(sessionId: string): LiveSession | undefined {
    return this.#entries.get(sessionId)?.live;
  }

  /** Stops the program and its sandbox; resolves when nothing of it runs. */
  async discard(sessionId: string): Promise<void> {
    const entry = this.#entries.get(sessionId);
    if (!entry) return this.#closing.get(sessionId);
    this.#entries.delete(sessionId);
    clearTimeout(entry.timer);
    const closing = this.#close(sessionId, entry.live).finally(() => this.#closing.delete(sessionId));
    this.#closing.set(sessionId, closing);
    return closing;
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((sessionId) => this.discard(sessionId)));
    await Promise.all(this.#closing.values());
  }

  async #close(sessionId: string, live: LiveSession): Promise<void> {
    live.connection.dispose();
    await live.sandbox.close(1_000);
    await this.#options.egress.closeSession(sessionId).catch((error: unknown) => {
      this.#options.logger.warn({ err: error, sessionId }, 'the egress process did not close the session');
    });
  }

  async #makeRoom(): Promise<void> {
    if (this.#entries.size < this.#options.maxLive) return;
    let oldest: [string, Entry] | undefined;
    for (const each of this.#entries) {
      if (!each[1].busy && (!oldest || each[1].idleSince < oldest[1].idleSince)) oldest = each;
    }
    if (oldest) await this.discard(oldest[0]);
  }

  async #open(input: OpenInput): Promise<LiveSession> {
    const { egress, sandbox: port, program, limits, connectAgent } = this.#options;
    const { organizationId, sessionId } = input;
    const { caCertificatePem } = await egress.openSession({ organizationId, sessionId });
    let sandbox: Sandbox | undefined;
    try {
      sandbox = await port.open({
        sessionId,
        uid: input.uid,
        directory: input.directory,
        mounts: program.mounts,
        command: program.command,
        env: program.env,
        caCertificatePem,
        limits,
        onListener: (handle) => egress.addListener(sessionId, handle),
      });
      const connection = await connectAgent({
        stdin: sandbox.stdin,
        stdout: sandbox.stdout,
        instructions: input.instructions,
        mcpServers: input.mcpServers,
        cwd: '/workspace',
        programSessionId: input.programSessionId,
      });
      return { sessionId, sandbox, connection, fence: input.fence, instructions: input.instructions };
    } catch (error) {
      await sandbox?.close(0);
      await egress.closeSession(sessionId).catch(() => {});
      throw error;
    }
  }
}
