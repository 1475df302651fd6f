import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CgroupController,
  type CgroupPlace,
  type CgroupPlaces,
  findCgroupPlaces,
} from './cgroup-places.ts';
import { processStart, signal } from './processes.ts';
import { quotaFiles, quotaSettings } from './processor-quota.ts';
import type { Enforcement, SandboxLimits } from './sandbox.ts';

/** The groups of one sandbox. */
export interface SandboxCgroup {
  memory: Enforcement['memory'];
  processes: Enforcement['processes'];
  processors: Enforcement['processors'];
  /** Moves a process, and what it will start, under the limits. The kernel takes 5 to 15 ms for it. */
  add(pid: number): Promise<void>;
  /** Processes that the kernel killed in it for want of memory. */
  outOfMemoryKills(): number;
  /** Everything that still runs in it. */
  pids(): number[];
  /** Kills what is left and removes the groups. */
  remove(): Promise<void>;
}

/** Makes groups of sandboxes where the system lets us. */
export interface Cgroups {
  create(limits: SandboxLimits): SandboxCgroup;
  /** Kills and removes what processes of ours that are gone have left. */
  sweep(): Promise<void>;
}

const ownFolder = 'tagalong';

/** Looks where this process may make groups. */
export function openCgroups(): Cgroups {
  const places = findPlaces();
  const roots = [
    ...new Set([places.memory, places.pids, places.cpu].flatMap((place) => place?.folder ?? [])),
  ];
  return {
    create: (limits) => createGroup(places, limits),
    async sweep() {
      for (const root of roots) {
        for (const name of list(join(root, ownFolder))) {
          const [pid, start] = name.split('.');
          if (!pid || !start || processStart(Number(pid)) === start) continue;
          await removeFolder(join(root, ownFolder, name));
        }
      }
    },
  };
}

function findPlaces(): CgroupPlaces {
  try {
    return findCgroupPlaces(
      readFileSync('/proc/self/mountinfo', 'utf8'),
      readFileSync('/proc/self/cgroup', 'utf8'),
      takesGroups,
    );
  } catch {
    return {};
  }
}

function takesGroups(place: CgroupPlace, controller: CgroupController): boolean {
  try {
    if (place.version === 2) {
      const given = readFileSync(join(place.folder, 'cgroup.subtree_control'), 'utf8').trim().split(' ');
      if (!given.includes('memory') || !given.includes('pids') || !given.includes(controller)) return false;
    }
    const trial = makeGroup(place, `trial-${process.pid}-${controller}`);
    const takes = controller !== 'cpu' || existsSync(join(trial, quotaFiles[place.version]));
    rmdirSync(trial);
    removeParent(trial);
    return takes;
  } catch {
    return false;
  }
}

/**
 * Makes a group in the folder of ours, which is there only as long as a group is in it, so that nothing of us stays
 * behind; another process may take it away at this very moment. Throws where the system does not let us.
 */
function makeGroup(place: CgroupPlace, name: string): string {
  const parent = join(place.folder, ownFolder);
  const folder = join(parent, name);
  for (let attempt = 1; ; attempt++) {
    try {
      mkdirSync(parent, { recursive: true });
      if (place.version === 2) {
        writeFileSync(join(parent, 'cgroup.subtree_control'), '+memory +pids');
        tryWrite(join(parent, 'cgroup.subtree_control'), '+cpu');
      }
      mkdirSync(folder);
      return folder;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') return folder;
      if (code !== 'ENOENT' || attempt === 5) throw error;
    }
  }
}

function removeParent(folder: string): void {
  try {
    rmdirSync(dirname(folder));
  } catch {
    // Others are in there.
  }
}

function createGroup(places: CgroupPlaces, limits: SandboxLimits): SandboxCgroup {
  const name = `${process.pid}.${processStart(process.pid)}.${randomBytes(6).toString('hex')}`;
  const folders = new Set<string>();
  const make = (place: CgroupPlace | undefined, settings: (version: 1 | 2) => [string, string][]) => {
    if (!place) return undefined;
    let folder: string | undefined;
    try {
      folder = makeGroup(place, name);
      for (const [file, value] of settings(place.version)) writeFileSync(join(folder, file), value);
      folders.add(folder);
      return { folder, version: place.version };
    } catch {
      try {
        // In version 2 both controllers share it.
        if (folder && !folders.has(folder)) rmdirSync(folder);
      } catch {
        // It is removed with the next sweep.
      }
      return undefined;
    }
  };
  const memory = make(places.memory, (version) => [
    [version === 1 ? 'memory.limit_in_bytes' : 'memory.max', String(limits.memoryBytes)],
  ]);
  if (memory) {
    // Swap accounting may be off; the limit on memory holds all the same.
    const [file, value] =
      memory.version === 1
        ? ['memory.memsw.limit_in_bytes', String(limits.memoryBytes)]
        : ['memory.swap.max', '0'];
    tryWrite(join(memory.folder, file), value);
  }
  const pids = make(places.pids, () => [['pids.max', String(limits.maxProcesses)]]);
  const { processors } = limits;
  const cpu =
    processors === undefined ? undefined : make(places.cpu, (version) => quotaSettings(version, processors));
  const word = (made: { version: 1 | 2 } | undefined) =>
    made === undefined ? 'rlimit' : made.version === 1 ? 'cgroup1' : 'cgroup2';
  return {
    memory: word(memory),
    processes: word(pids),
    processors: cpu === undefined ? 'none' : cpu.version === 1 ? 'cgroup1' : 'cgroup2',
    async add(pid) {
      for (const folder of folders) await writeFile(join(folder, 'cgroup.procs'), String(pid));
    },
    outOfMemoryKills: () => (memory ? outOfMemoryKills(memory.folder, memory.version) : 0),
    pids: () => [...new Set([...folders].flatMap(members))],
    async remove() {
      for (const folder of folders) await removeFolder(folder);
    },
  };
}

function outOfMemoryKills(folder: string, version: 1 | 2): number {
  try {
    const text = readFileSync(join(folder, version === 1 ? 'memory.oom_control' : 'memory.events'), 'utf8');
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function members(folder: string): number[] {
  try {
    // A process of another pid namespace reads as 0, which to `kill` would mean our own process group.
    const pids = readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').map(Number);
    return pids.filter((pid) => pid > 1);
  } catch {
    return [];
  }
}

/** A group can be removed once its last process is gone, which takes the kernel a moment. */
async function removeFolder(folder: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    for (const pid of members(folder)) signal(pid, 'SIGKILL');
    try {
      rmdirSync(folder);
      removeParent(folder);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    }
    await sleep(10);
  }
}

function tryWrite(file: string, value: string): void {
  try {
    writeFileSync(file, value);
  } catch {
    // Best effort by the caller's word.
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}
