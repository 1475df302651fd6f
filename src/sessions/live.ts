import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { OpenProgram, ProgramChoice } from '../agents/profiles/index.ts';
import type { InstallProgress } from '../agents/profiles/install.ts';
import {
  type AgentConnection,
  AgentError,
  type AgentInstructions,
  type ConnectInput,
  type McpServerAddress,
} from '../agents/program.ts';
import type { Sandbox, SandboxLimits, SandboxPort } from '../sandbox/sandbox.ts';
import type { EgressControl } from '../vault/egress/protocol.ts';

export interface LiveOptions {
  sandbox: SandboxPort;
  egress: EgressControl;
  connectAgent(input: ConnectInput): Promise<AgentConnection>;
  openProgram: OpenProgram;
  logger: Logger;
  limits: SandboxLimits;
  /** How long a session may sit idle before its sandbox is stopped. */
  idleMs: number;
  /** How many sandboxes may be up at once; the one that is idle for longest makes room. */
  maxLive: number;
}

const defaultGraceMs = 1_000;
/** How long the end of a sandbox is waited for when its program has fallen silent. */
const endKnownMs = 1_000;

export interface OpenInput {
  organizationId: string;
  sessionId: string;
  uid: number | undefined;
  directory: string;
  program: Pick<ProgramChoice, 'program' | 'command'>;
  instructions: AgentInstructions;
  mcpServers: readonly McpServerAddress[];
  programSessionId: string | undefined;
  /** Told while its program is installed. */
  onProgress(progress: InstallProgress): void;
  /** Aborted when nobody waits for it any more: what was started by then is ended at once. */
  signal: AbortSignal;
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

  /** Stops the program and its sandbox, killing them after `graceMs`; resolves when nothing of it runs. */
  async discard(sessionId: string, graceMs = defaultGraceMs): Promise<void> {
    const entry = this.#entries.get(sessionId);
    if (!entry) return this.#closing.get(sessionId);
    this.#entries.delete(sessionId);
    clearTimeout(entry.timer);
    const closing = this.#close(sessionId, entry.live, graceMs).finally(() =>
      this.#closing.delete(sessionId),
    );
    this.#closing.set(sessionId, closing);
    return closing;
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((sessionId) => this.discard(sessionId)));
    await Promise.all(this.#closing.values());
  }

  async #close(sessionId: string, live: LiveSession, graceMs: number): Promise<void> {
    live.connection.dispose();
    await live.sandbox.close(graceMs);
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
    const { egress, sandbox: port, openProgram, limits, connectAgent } = this.#options;
    const { organizationId, sessionId, signal, instructions } = input;
    const choice = { ...input.program, ...instructions };
    const program = await orAbort(openProgram(choice, input.onProgress), signal);
    // The sandbox starts meanwhile.
    const opened = egress.openSession({ organizationId, sessionId });
    const env = opened.then(({ environment }) => ({ ...environment, ...program.env }));
    const caCertificatePem = opened.then((session) => session.caCertificatePem);
    // Looked at below; the sandbox may have failed before it does.
    for (const promise of [env, caCertificatePem]) promise.catch(() => {});
    let opening: Promise<Sandbox> | undefined;
    try {
      opening = port.open({
        sessionId,
        uid: input.uid,
        directory: input.directory,
        mounts: program.mounts,
        files: program.files,
        command: program.command,
        env,
        caCertificatePem,
        limits,
        onListener: async (handle, role) => {
          await opened;
          await egress.addListener(sessionId, handle, role);
        },
      });
      opening.catch(() => {});
      await orAbort(opened, signal);
      const sandbox = await orAbort(opening, signal);
      const connecting = connectAgent({
        stdin: sandbox.stdin,
        stdout: sandbox.stdout,
        instructions,
        mcpServers: input.mcpServers,
        cwd: sandbox.workspace,
        programSessionId: input.programSessionId,
        modeId: program.modeId,
        startTimeoutMs: program.startTimeoutMs,
      }).catch(async (error: unknown) => Promise.reject(await whyItDied(error, sandbox)));
      const connection = await orAbort(connecting, signal);
      return { sessionId, sandbox, connection, fence: input.fence, instructions };
    } catch (error) {
      // Not waited for here: whoever opens the session next does.
      const closing = (async () => {
        await (await opening?.catch(() => undefined))?.close(0);
        await opened.catch(() => {});
        await egress.closeSession(sessionId).catch(() => {});
      })().finally(() => this.#closing.delete(sessionId));
      this.#closing.set(sessionId, closing);
      throw error;
    }
  }
}

/** When a program has died, its sandbox knows more of the reason than the pipe that broke. */
export async function whyItDied(error: unknown, sandbox: Pick<Sandbox, 'closed'>): Promise<unknown> {
  if (!(error instanceof AgentError) || error.code !== 'died') return error;
  const end = await Promise.race([sandbox.closed, sleep(endKnownMs, undefined, { ref: false })]);
  return end ? new AgentError('died', `The agent program died. ${end.reason}`, { cause: error }) : error;
}

/** The promise, or the signal's reason as soon as it is aborted. */
async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
