import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Home } from '../store/home.ts';
import type { ListenerHandle } from '../vault/egress/protocol.ts';
import {
  type BubblewrapFeatures,
  bubblewrapArguments,
  chainCommand,
  networkSetup,
  withFilter,
} from './arguments.ts';
import { type Cgroups, openCgroups, type SandboxCgroup } from './cgroups.ts';
import { type DiskPrograms, findDiskPrograms, mountArguments, prepareDisk } from './disk.ts';
import { watchDisk } from './disk-usage.ts';
import { sandboxEnvironment } from './environment.ts';
import { prepareSessionFolder } from './folders.ts';
import { findHost, type SandboxHost, usernsAdvice } from './host.ts';
import { inside } from './inside.ts';
import { closeHandle, launch } from './launch.ts';
import { presentLimits, rlimitArguments } from './limits.ts';
import { type ProcMasks, writeProcMasks } from './proc.ts';
import { placeRuntime, type Runtime } from './runtime.ts';
import {
  type Sandbox,
  SandboxError,
  type SandboxLimits,
  type SandboxPort,
  type SandboxSpec,
} from './sandbox.ts';
import { seccompFilter, seccompMachine } from './seccomp.ts';
import {
  writeNetworkSetup,
  writeSeccompFilter,
  writeSettings,
  writeSystemFiles,
  writeTrust,
} from './system-files.ts';
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
}

/** Of what a sandbox may use in memory, what each of its temporary folders may hold. */
const tmpShare = 0.5;
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

interface Prepared {
  host: SandboxHost;
  runtime: Runtime;
  etc: string;
  proc: ProcMasks;
  /** File with the seccomp filter. */
  filter: string;
  /** File with what sets the network of a sandbox up. */
  network: string;
  cgroups: Cgroups;
  features: BubblewrapFeatures;
  /** Undefined where disks of limited size cannot be mounted. */
  disks: DiskPrograms | undefined;
}

/**
 * Runs agents under bubblewrap, each in namespaces of its own and never as uid 0 of the host. The first `open` or
 * `check` looks at the host, removes what dead runs left in cgroups, and learns what works here.
 */
export function createBubblewrapSandbox(options: BubblewrapOptions): SandboxPort {
  const { home, logger } = options;
  let prepared: Promise<Prepared> | undefined;

  async function prepare(): Promise<Prepared> {
    const host = await findHost(options.path ?? process.env.PATH);
    const runtime = placeRuntime(home, options);
    const etc = writeSystemFiles(home);
    const proc = writeProcMasks(home);
    const machine = seccompMachine();
    if (!machine) {
      throw new SandboxError(
        'no_isolation',
        `There is no seccomp filter for ${process.arch}: agents run on x64 and arm64 only.`,
      );
    }
    const filter = writeSeccompFilter(home, seccompFilter(machine));
    const cgroups = openCgroups();
    await cgroups.sweep();
    const network = writeNetworkSetup(home, networkSetup);
    const disks = await findDiskPrograms(join(home.open, `trial-${process.pid}.disk`), options.path);
    const base = { host, runtime, etc, proc, filter, network, cgroups, disks };
    if (!host.features.disableUserns) return { ...base, features: host.features };
    // Some hosts refuse the switch; the sandbox stands without it as well.
    const works = await trial({ ...base, features: host.features }).then(
      () => true,
      () => false,
    );
    if (!works) logger.warn('bubblewrap cannot use --disable-userns here');
    return { ...base, features: { ...host.features, disableUserns: works } };
  }

  /** A failure is not kept: what was missing may be installed by the next time. */
  function ready(): Promise<Prepared> {
    prepared ??= prepare().catch((error) => {
      prepared = undefined;
      throw error;
    });
    return prepared;
  }

  async function start(spec: SandboxSpec, with_: Prepared): Promise<Sandbox> {
    refuseRoot(spec.uid);
    const { host, runtime, cgroups } = with_;
    prepareSessionFolder(spec.directory, spec.uid);
    const { workspaceBytes } = spec.limits;
    const disk = await prepareDisk({ ...spec, bytes: workspaceBytes, programs: with_.disks });
    const cgroup: SandboxCgroup = cgroups.create(spec.limits);
    const prepare = () => {
      const trust = writeTrust(spec.directory, spec.caCertificatePem);
      const settings = writeSettings(spec.directory, spec.files ?? {});
      const args = bubblewrapArguments({
        features: with_.features,
        ...disk,
        trust,
        etc: with_.etc,
        proc: with_.proc,
        nodeFolder: runtime.nodeFolder,
        mounts: [...spec.mounts, { from: settings, to: inside.settings }],
        env: sandboxEnvironment(spec.env),
        tmpBytes: Math.floor(spec.limits.memoryBytes * tmpShare),
        command: spec.command,
      });
      return () => ({ ...withFilter(host, with_.filter, args), env: {} });
    };
    const needs = { memory: cgroup.memory === 'rlimit', processes: cgroup.processes === 'rlimit' };
    const launched = await launch({
      command: chainCommand({
        uid: spec.uid,
        programs: host.programs,
        rlimits: rlimitArguments(spec.limits, needs, presentLimits()),
        network: with_.network,
        node: runtime.node,
        mount: disk.image && with_.disks ? mountArguments(with_.disks, disk.image) : [],
        bootstrap: runtime.bootstrap,
      }),
      cgroup,
      memoryBytes: spec.limits.memoryBytes,
      prepare,
      onListener: spec.onListener,
      timeoutMs: options.startTimeoutMs ?? 15_000,
    });
    if (!disk.image && workspaceBytes !== undefined) {
      const stop = watchDisk({
        programs: host.programs,
        uid: spec.uid,
        folders: [disk.workspace, disk.home],
        limitBytes: workspaceBytes,
        onFull: launched.endFor,
      });
      void launched.closed.then(stop);
    }
    return {
      ...launched,
      enforced: {
        adapter: 'bubblewrap',
        uid: spec.uid === undefined ? 'shared' : 'own',
        memory: cgroup.memory,
        processes: cgroup.processes,
        processors: cgroup.processors,
        seccomp: true,
        workspace: disk.image ? 'image' : workspaceBytes === undefined ? 'none' : 'measured',
        temporary: with_.features.tmpfsSize ? 'sized' : 'memory',
      },
      workspace: inside.workspace,
    };
  }

  /** Looks for the filter from inside a sandbox like any other; answers what was enforced. */
  async function trial(with_: Prepared): Promise<Sandbox['enforced']> {
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
        with_,
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

  return {
    async open(spec) {
      refuseRoot(spec.uid);
      const sandbox = await start(spec, await ready());
      logger.debug(
        { session: spec.sessionId, pid: sandbox.pid, enforced: sandbox.enforced },
        'sandbox opened',
      );
      return sandbox;
    },
    async check() {
      try {
        const now = await ready();
        return { ok: true, enforced: await trial(now), version: `bubblewrap ${now.host.version}` };
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        const missing = error instanceof SandboxError && error.code === 'no_isolation' && !prepared;
        const advice = missing ? undefined : usernsAdvice();
        return { ok: false, message: advice ? `${message} ${advice}` : message };
      }
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
