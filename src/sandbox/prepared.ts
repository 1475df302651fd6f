import { join } from 'node:path';
import type { Home } from '../store/home.ts';
import { type BubblewrapFeatures, networkSetup } from './arguments.ts';
import { type Cgroups, openCgroups } from './cgroups.ts';
import { type DiskPrograms, findDiskPrograms } from './disk.ts';
import { findHost, type SandboxHost } from './host.ts';
import { type ProcMasks, writeProcMasks } from './proc.ts';
import { placeRuntime, type Runtime } from './runtime.ts';
import { SandboxError } from './sandbox.ts';
import { seccompFilter, seccompMachine } from './seccomp.ts';
import { type SystemFiles, writeNetworkSetup, writeSeccompFilter, writeSystemFiles } from './system-files.ts';

/** What all sandboxes of this process are made with. */
export interface Prepared {
  host: SandboxHost;
  runtime: Runtime;
  etc: SystemFiles;
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

export interface PrepareOptions {
  home: Home;
  nodePath?: string;
  bundleFolder?: string;
  path?: string;
}

/**
 * Looks at the host, places what sandboxes share, and removes what dead runs left in cgroups. Rejects with a
 * SandboxError that says what is missing.
 */
export async function prepareHost(options: PrepareOptions): Promise<Prepared> {
  const { home } = options;
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
  const trialDisk = join(home.open, `trial-${process.pid}.disk`);
  const disks = host.makesNamespaces ? await findDiskPrograms(trialDisk, options.path) : undefined;
  return { host, runtime, etc, proc, filter, network, cgroups, features: host.features, disks };
}
