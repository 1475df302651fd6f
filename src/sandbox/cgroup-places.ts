import { dirname, join, posix } from 'node:path';

/** A folder of the cgroup file system below which we may make groups. */
export interface CgroupPlace {
  version: 1 | 2;
  folder: string;
}

export type CgroupController = 'memory' | 'pids' | 'cpu';

export type CgroupPlaces = { [Controller in CgroupController]?: CgroupPlace };

interface CgroupMount {
  version: 1 | 2;
  root: string;
  mountPoint: string;
  controllers: string[];
}

/** The cgroup mounts of a `/proc/self/mountinfo`. */
export function parseCgroupMounts(mountInfo: string): CgroupMount[] {
  return mountInfo.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const [, , , root, mountPoint] = (before ?? '').split(' ');
    const [type, , options] = (after ?? '').split(' ');
    if (!root || !mountPoint || (type !== 'cgroup' && type !== 'cgroup2')) return [];
    return [
      {
        version: type === 'cgroup2' ? (2 as const) : (1 as const),
        root,
        mountPoint,
        controllers: (options ?? '').split(','),
      },
    ];
  });
}

/** Our own group by controller, of a `/proc/self/cgroup`; version 2 under the empty name. */
export function parseOwnCgroups(text: string): Map<string, string> {
  const own = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(.+)$/.exec(line);
    if (match) for (const controller of (match[1] ?? '').split(',')) own.set(controller, match[2] ?? '/');
  }
  return own;
}

/** Where our own group is seen through a mount; undefined when it is outside of what the mount shows. */
function seenThrough(mount: CgroupMount, own: string): string | undefined {
  const path = posix.relative(mount.root, own);
  return path.startsWith('..') ? undefined : join(mount.mountPoint, path);
}

/**
 * Candidates for the groups of sandboxes, best first. With version 1 that is below our own group, so that what limits
 * us limits them too. In version 2 a group that holds processes cannot give controllers to groups below it, so the
 * ancestors come into question as well: `takesGroups` says which of them has the controllers to give and lets us in. A
 * process is in one group of version 2 only, so processors are limited where memory and processes are, or not at all.
 */
export function findCgroupPlaces(
  mountInfo: string,
  ownCgroups: string,
  takesGroups: (place: CgroupPlace, controller: CgroupController) => boolean,
): CgroupPlaces {
  const mounts = parseCgroupMounts(mountInfo);
  const own = parseOwnCgroups(ownCgroups);
  const places: CgroupPlaces = {};
  for (const controller of ['memory', 'pids', 'cpu'] as const) {
    const candidates: CgroupPlace[] = [];
    for (const mount of mounts) {
      if (mount.version === 1 && mount.controllers.includes(controller)) {
        const folder = seenThrough(mount, own.get(controller) ?? '/');
        if (folder) candidates.push({ version: 1, folder });
      }
      if (mount.version === 2 && controller === 'cpu') {
        if (places.memory?.version === 2) candidates.push(places.memory);
      } else if (mount.version === 2) {
        let folder = seenThrough(mount, own.get('') ?? '/');
        for (; folder?.startsWith(mount.mountPoint); folder = dirname(folder))
          candidates.push({ version: 2, folder });
      }
    }
    const found = candidates.find((place) => takesGroups(place, controller));
    if (found) places[controller] = found;
  }
  return places;
}
