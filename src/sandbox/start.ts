import type { Ahead } from './ahead.ts';
import { bubblewrapArguments, chainCommand, sessionCommand } from './arguments.ts';
import { type Bootstrap, startBootstrap } from './bootstraps.ts';
import { mountCommand, prepareDisk } from './disk.ts';
import { watchDisk } from './disk-usage.ts';
import { sandboxEnvironment } from './environment.ts';
import { prepareSessionFolder } from './folders.ts';
import { inside } from './inside.ts';
import { launch } from './launch.ts';
import { presentLimits, rlimitArguments } from './limits.ts';
import type { Prepared } from './prepared.ts';
import type { Sandbox, SandboxLimits, SandboxSpec } from './sandbox.ts';
import { copyHostFiles, writeSettings, writeTrust } from './system-files.ts';

/** Of what a sandbox may use in memory, what each of its temporary folders may hold. */
const tmpShare = 0.5;

/**
 * Starts a bootstrap under these limits. `uid` is that of its session; it matters only where root does not make the
 * namespaces.
 */
export function startFirst(
  { host, network, runtime, cgroups }: Prepared,
  uid: number | undefined,
  limits: SandboxLimits,
): Promise<Bootstrap> {
  const { programs, makesNamespaces: byRoot } = host;
  const { node, bootstrap } = runtime;
  const cgroup = cgroups.create(limits);
  const needs = { memory: cgroup.memory === 'rlimit', processes: cgroup.processes === 'rlimit' };
  const rlimits = rlimitArguments(limits, needs, presentLimits());
  const command = chainCommand({ programs, byRoot, uid, rlimits, network, node, bootstrap });
  return startBootstrap({ command, cgroup });
}

/** Opens a sandbox, with what was made ahead where that fits. On any failure nothing of it is left. */
export async function startSandbox(
  spec: SandboxSpec,
  prepared: Prepared,
  ahead: Ahead | undefined,
  timeoutMs: number,
): Promise<Sandbox> {
  const { host, disks } = prepared;
  const { limits } = spec;
  prepareSessionFolder(spec.directory, spec.uid);
  const bootstrap = ahead?.takeBootstrap(limits) ?? (await startFirst(prepared, spec.uid, limits));
  const { cgroup } = bootstrap;
  const preparing = prepareDisk({
    ...spec,
    bytes: limits.workspaceBytes,
    programs: disks,
    takeSpare: () => ahead?.takeDisk(limits),
  });
  const prepare = async () => {
    copyHostFiles(prepared.etc);
    const settings = writeSettings(spec.directory, spec.files ?? {});
    const { workspace, home } = await preparing;
    const env = sandboxEnvironment(await spec.env);
    const args = bubblewrapArguments({
      features: prepared.features,
      workspace,
      home,
      trust: writeTrust(spec.directory, await spec.caCertificatePem),
      etc: prepared.etc,
      proc: prepared.proc,
      nodeFolder: prepared.runtime.nodeFolder,
      mounts: [...spec.mounts, { from: settings, to: inside.settings }],
      env,
      tmpBytes: Math.floor(limits.memoryBytes * tmpShare),
      command: spec.command,
    });
    const command = sessionCommand({
      programs: host.programs,
      bubblewrap: host.bubblewrap,
      byRoot: host.makesNamespaces,
      uid: spec.uid,
      filter: prepared.filter,
      worker: process.pid,
      args,
    });
    return () => ({ ...command, env: {} });
  };
  const launched = await launch({
    bootstrap,
    memoryBytes: limits.memoryBytes,
    mount: preparing.then(
      ({ image, workspace, home }) =>
        image &&
        disks && {
          command: mountCommand(disks, image),
          image: image.file,
          folders: [workspace, home],
          uid: spec.uid ?? 0,
        },
    ),
    prepare,
    onListener: spec.onListener,
    timeoutMs,
  });
  const disk = await preparing;
  const { workspaceBytes } = limits;
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
      memory: cgroup?.memory ?? 'none',
      processes: cgroup?.processes ?? 'none',
      processors: cgroup?.processors ?? 'none',
      seccomp: true,
      workspace: disk.image ? 'image' : workspaceBytes === undefined ? 'none' : 'measured',
      temporary: prepared.features.tmpfsSize ? 'sized' : 'memory',
    },
    workspace: inside.workspace,
  };
}
