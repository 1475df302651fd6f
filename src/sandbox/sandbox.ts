import type { Readable, Writable } from 'node:stream';
import type { ListenerHandle, ListenerRole } from '../vault/egress/protocol.ts';

export interface SandboxLimits {
  memoryBytes: number;
  maxProcesses: number;
  maxFileBytes: number;
  maxOpenFiles: number;
  /** How many processors' time it may use, as 1.5; undefined for no limit. */
  processors?: number;
  /** What workspace and home may hold together; undefined for no limit. */
  workspaceBytes?: number;
}

export type Awaitable<T> = T | Promise<T>;

export interface SandboxSpec {
  sessionId: string;
  /** Host uid (and gid) that it runs under; undefined where we are not root. */
  uid: number | undefined;
  /** Host folder of the session, made by the adapter when missing: `workspace/` and `home/` live in it. */
  directory: string;
  /** Read-only files or folders beside the system: program bundles. `to` is below `/opt/tagalong`. */
  mounts: readonly { from: string; to: string }[];
  /** Settings of the program, by file name: read-only at `inside.settings`. */
  files?: Readonly<Record<string, string>>;
  /** Absolute path inside and arguments. */
  command: readonly string[];
  /**
   * The whole environment beyond the adapter's own (PATH, HOME, proxy and CA variables). Holds no secret. A promise
   * is waited for while the rest is made ready; when it rejects, so does `open`.
   */
  env: Awaitable<Readonly<Record<string, string>>>;
  /** PEM of the session's CA; the adapter joins it to the public roots. A promise as above. */
  caCertificatePem: Awaitable<string>;
  limits: SandboxLimits;
  /** Given each listener before the command starts; when it rejects, so does `open`. */
  onListener(handle: ListenerHandle, role: ListenerRole): Promise<void>;
}

/** What was really enforced, for the session's record. */
export interface Enforcement {
  adapter: 'bubblewrap' | 'none';
  /** A uid of its own, the one uid of all sessions, or (never) root. */
  uid: 'own' | 'shared';
  memory: 'cgroup1' | 'cgroup2' | 'rlimit' | 'none';
  processes: 'cgroup1' | 'cgroup2' | 'rlimit' | 'none';
  /** Whether its processor time has a limit, which nothing but a group of its own can hold. */
  processors: 'cgroup1' | 'cgroup2' | 'none';
  seccomp: boolean;
  /**
   * How the size of workspace and home is held: by a file system of that size, or by measuring every few seconds and
   * ending what went beyond.
   */
  workspace: 'image' | 'measured' | 'none';
  /** Whether /tmp and its like have a size; they count as memory everywhere. */
  temporary: 'sized' | 'memory' | 'none';
}

export interface SandboxEnd {
  code: number | null;
  signal: string | null;
  /** In words, for the thread: out of memory, killed, ended. */
  reason: string;
}

export interface Sandbox {
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  enforced: Enforcement;
  /** The workspace, as the program sees it. */
  workspace: string;
  /** Kept so that they can be handed to a new egress process. */
  listeners: readonly ListenerHandle[];
  /** Host pid of the outermost process. */
  pid: number;
  closed: Promise<SandboxEnd>;
  /** SIGTERM, then SIGKILL for all of it after `graceMs`; resolves when nothing of it runs. */
  close(graceMs?: number): Promise<SandboxEnd>;
}

export class SandboxError extends Error {
  override name = 'SandboxError';
  readonly code: 'no_isolation' | 'start_failed';
  constructor(code: SandboxError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Where agents run. The first adapter is bubblewrap. */
export interface SandboxPort {
  open(spec: SandboxSpec): Promise<Sandbox>;
  /** Starts one for a moment and says what is wrong and what to do, or what is enforced. For `doctor`. */
  check(): Promise<{ ok: true; enforced: Enforcement; version: string } | { ok: false; message: string }>;
  /** Ends what was made ahead. Sandboxes are closed by who opened them; nothing is opened afterwards. */
  close(): Promise<void>;
}
