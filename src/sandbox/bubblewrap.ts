import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Home } from '../store/home.ts';
import type { ListenerHandle } from '../vault/egress/protocol.ts';
import { type Ahead, type AheadOptions, createAhead } from './ahead.ts';
import { closeHandle } from './bootstraps.ts';
import { usernsAdvice } from './host.ts';
import { type Prepared, prepareHost } from './prepared.ts';
import {
  type Sandbox,
  SandboxError,
  type SandboxLimits,
  type SandboxPort,
  type SandboxSpec,
} from './sandbox.ts';
import { startFirst, startSandbox } from './start.ts';
import { firstSessionUid, sessionUidCount } from './uids.ts';

export interface BubblewrapOptions {
  home: Home;
  logger: Logger;
  /** The Node binary that runs in sandboxes; default: the one that runs us. */
  nodePath?: string;
  /** What `scripts/bundle.ts` wrote; default: `dist/` beside `src/`. */
  bundleFolder?: string;
  /** Where `bwrap` is looked for; default: our own PATH. */
  path?: string;
  startTimeoutMs?: number;
  /** What is kept ready for sessions to come; default: nothing, each makes its own. */
  ahead?: AheadOptions;
}

const defaultStartTimeoutMs = 15_000;
/** A uid outside the sessions' range, for the trial. */
const trialUid = firstSessionUid + sessionUidCount;

const trialLimits: SandboxLimits = {
  memoryBytes: 512 << 20,
  maxProcesses: 64,
  maxFileBytes: 1 << 20,
  maxOpenFiles: 256,
  workspaceBytes: 64 << 20,
  processors: 1,
};

/**
 * Runs agents under bubblewrap, each in namespaces of its own and never as uid 0 of the host. The first `open` or
 * `check` looks at the host, removes what dead runs left in cgroups, and learns what works here.
 */
export function createBubblewrapSandbox(options: BubblewrapOptions): SandboxPort {
  const { home, logger } = options;
  let prepared: Promise<{ made: Prepared; ahead: Ahead | undefined }> | undefined;

  async function prepare() {
    const made = await prepareHost(options);
    if (made.features.disableUserns) {
      // Some hosts refuse the switch; the sandbox stands without it as well.
      const works = await trial(made).then(
        () => true,
        () => false,
      );
      if (!works) logger.warn('bubblewrap cannot use --disable-userns here');
      made.features = { ...made.features, disableUserns: works };
    }
    return { made, ahead: options.ahead && makeAhead(made, options.ahead) };
  }

  function makeAhead(made: Prepared, ahead: AheadOptions): Ahead {
    // Where root cannot make the namespaces, a bootstrap has the uid of its session from the first.
    const ofAny = made.host.makesNamespaces || process.getuid?.() !== 0;
    return createAhead({
      ...ahead,
      startBootstrap: ofAny ? () => startFirst(made, undefined, ahead.limits) : undefined,
      disks: made.disks,
      diskFolder: join(home.open, 'disks'),
      onFailure: (err) => logger.warn({ err }, 'nothing is ready for the next sandbox'),
    });
  }

  /** A failure is not kept: what was missing may be installed by the next time. */
  function ready() {
    prepared ??= prepare().catch((error) => {
      prepared = undefined;
      throw error;
    });
    return prepared;
  }

  async function start(spec: SandboxSpec, made: Prepared, ahead?: Ahead): Promise<Sandbox> {
    refuseRoot(spec.uid);
    return startSandbox(spec, made, ahead, options.startTimeoutMs ?? defaultStartTimeoutMs);
  }

  /** Looks for the filter from inside a sandbox like any other; answers what was enforced. */
  async function trial(made: Prepared): Promise<Sandbox['enforced']> {
    const directory = join(home.open, `trial-${randomBytes(6).toString('hex')}`);
    try {
      const sandbox = await start(
        {
          sessionId: 'trial',
          uid: process.getuid?.() === 0 ? trialUid : undefined,
          directory,
          mounts: [],
          command: [
            '/bin/sh',
            '-c',
            `while read -r name value; do [ "$name $value" = 'Seccomp: 2' ] && exit 0; done < /proc/self/status; exit 3`,
          ],
          env: {},
          caCertificatePem: '',
          limits: trialLimits,
          onListener: async (handle: ListenerHandle) => closeHandle(handle),
        },
        made,
      );
      const end = await sandbox.closed;
      if (end.code === 3)
        throw new SandboxError('no_isolation', 'The kernel does not apply the seccomp filter.');
      if (end.code !== 0) throw new SandboxError('no_isolation', end.reason);
      return sandbox.enforced;
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  // What is wrong is told when one is opened.
  if (options.ahead) ready().catch(() => {});

  return {
    async open(spec) {
      refuseRoot(spec.uid);
      const { made, ahead } = await ready();
      const sandbox = await start(spec, made, ahead);
      logger.debug(
        { session: spec.sessionId, pid: sandbox.pid, enforced: sandbox.enforced },
        'sandbox opened',
      );
      return sandbox;
    },
    async check() {
      try {
        const { made } = await ready();
        return { ok: true, enforced: await trial(made), version: `bubblewrap ${made.host.version}` };
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        const missing = error instanceof SandboxError && error.code === 'no_isolation' && !prepared;
        const advice = missing ? undefined : usernsAdvice();
        return { ok: false, message: advice ? `${message} ${advice}` : message };
      }
    },
    async close() {
      const known = await prepared?.catch(() => undefined);
      await known?.ahead?.close();
    },
  };
}

/** With uid 0 of the host behind it, a process in a sandbox could write /proc/sys: the way out of it. */
function refuseRoot(uid: number | undefined): void {
  const ownUid = process.getuid?.();
  if (ownUid === 0 && (uid === undefined || uid <= 0)) {
    throw new SandboxError(
      'no_isolation',
      'A sandbox never runs as root of the host: it needs a uid of its own. Use sessionUid().',
    );
  }
  if (ownUid !== 0 && uid !== undefined && uid !== ownUid) {
    throw new SandboxError('no_isolation', `Only root can start a sandbox under the uid ${uid}.`);
  }
}
