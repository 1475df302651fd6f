import { adopt, type Bootstrap, createSpareBootstraps } from './bootstraps.ts';
import type { DiskPrograms } from './disk.ts';
import { createSpareDisks } from './disk-spares.ts';
import type { SandboxLimits } from './sandbox.ts';

export interface AheadOptions {
  /** How many of each are kept. */
  count: number;
  /** What they are made for: a session with others makes its own. */
  limits: SandboxLimits;
}

/** What is ready for sessions to come, so that they need not wait for it. Each thing is given to one session. */
export interface Ahead {
  takeBootstrap(limits: SandboxLimits): Bootstrap | undefined;
  /** File of an image with nothing in it. */
  takeDisk(limits: SandboxLimits): string | undefined;
  /** Resolves when nothing of it is left. */
  close(): Promise<void>;
}

export interface AheadInput extends AheadOptions {
  /** Undefined where a bootstrap is of one session from the first. */
  startBootstrap: (() => Promise<Bootstrap>) | undefined;
  /** Undefined where no image can be mounted. */
  disks: DiskPrograms | undefined;
  diskFolder: string;
  onFailure(error: unknown): void;
}

/** After a sandbox was opened, its program starts: that long nothing is made. */
const restMs = 300;

export function createAhead(input: AheadInput): Ahead {
  const { count, limits, startBootstrap, disks, onFailure } = input;
  const common = { count, restMs, onFailure };
  const bootstraps = startBootstrap && createSpareBootstraps({ ...common, start: startBootstrap });
  const bytes = limits.workspaceBytes;
  const images =
    disks && bytes !== undefined
      ? createSpareDisks({ ...common, folder: input.diskFolder, bytes, programs: disks })
      : undefined;
  return {
    takeBootstrap(wanted) {
      const spare = sameProcess(wanted, limits) ? bootstraps?.take() : undefined;
      return spare && adopt(spare);
    },
    takeDisk: (wanted) => (wanted.workspaceBytes === bytes ? images?.take() : undefined),
    async close() {
      await Promise.all([bootstraps?.close(), images?.close()]);
    },
  };
}

/** What a disk may hold is not the bootstrap's concern. */
function sameProcess(one: SandboxLimits, other: SandboxLimits): boolean {
  return (['memoryBytes', 'maxProcesses', 'maxFileBytes', 'maxOpenFiles', 'processors'] as const).every(
    (name) => one[name] === other[name],
  );
}
