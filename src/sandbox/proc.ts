import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Home } from '../store/home.ts';
import { writeReadable } from './write-readable.ts';

/**
 * What of the kernel's own is seen in a sandbox's /proc, beside its processes: what programs want (processors, memory,
 * uptime) and what says nothing of the host's secrets. Everything else is covered: its keys, its locks, its command
 * line, the addresses of its kernel, the interrupts by which typing can be heard.
 */
export const visibleProc = [
  ...['self', 'thread-self', 'mounts', 'net', 'sys', 'sysvipc'],
  ...[
    'cgroups',
    'cpuinfo',
    'filesystems',
    'loadavg',
    'meminfo',
    'stat',
    'swaps',
    'uptime',
    'version',
    'vmstat',
  ],
  ...['buddyinfo', 'consoles', 'crypto', 'devices', 'dma', 'execdomains', 'misc', 'pressure', 'zoneinfo'],
];

/** What programs read of /proc/sys. They get what the host had when it was looked at, and no folder of the kernel. */
export const visibleSysctls = [
  'fs/file-max',
  'fs/nr_open',
  'fs/pipe-max-size',
  'fs/inotify/max_user_instances',
  'fs/inotify/max_user_watches',
  'kernel/cap_last_cap',
  'kernel/ngroups_max',
  'kernel/osrelease',
  'kernel/ostype',
  'kernel/overflowgid',
  'kernel/overflowuid',
  'kernel/pid_max',
  'kernel/random/uuid',
  'kernel/threads-max',
  'kernel/version',
  'net/core/somaxconn',
  'net/ipv4/ip_local_port_range',
  'vm/max_map_count',
  'vm/overcommit_memory',
];

/** The one that has to be new at each reading. */
const uuid = 'kernel/random/uuid';

/** What lies over the kernel's own files: an empty file, an empty folder, and a few settings. */
export interface ProcMasks {
  file: string;
  folder: string;
  sys: string;
}

/** Writes the masks into the open folder of the home. Repeatable; replaces what differs. */
export function writeProcMasks(home: Home): ProcMasks {
  const root = join(home.open, 'proc');
  const masks = { file: join(root, 'empty'), folder: join(root, 'none'), sys: join(root, 'sys') };
  for (const folder of [root, masks.folder, masks.sys]) openFolder(folder);
  writeReadable(masks.file, '');
  for (const name of visibleSysctls) {
    const value = name === uuid ? '' : read(join('/proc/sys', name));
    if (value === undefined) continue;
    for (let folder = dirname(name); folder !== '.'; folder = dirname(folder))
      openFolder(join(masks.sys, folder));
    writeReadable(join(masks.sys, name), value);
  }
  return masks;
}

/**
 * Arguments of bubblewrap that leave of /proc, mounted before, what is visible. Read anew each time: a module of the
 * kernel that was loaded meanwhile may have brought a file.
 */
export function procArguments(masks: ProcMasks, entries: readonly ProcEntry[] = procEntries()): string[] {
  return [
    ...entries
      .filter(({ name }) => !visibleProc.includes(name))
      .flatMap(({ name, isFolder }) => ['--ro-bind', isFolder ? masks.folder : masks.file, `/proc/${name}`]),
    ...['--ro-bind', masks.sys, '/proc/sys'],
    ...['--ro-bind', `/proc/sys/${uuid}`, `/proc/sys/${uuid}`],
  ];
}

export interface ProcEntry {
  name: string;
  isFolder: boolean;
}

/** Everything in /proc that is no process and that others than root can read: each cover costs a third of a millisecond. */
function procEntries(): ProcEntry[] {
  return readdirSync('/proc')
    .filter((name) => !/^\d+$/.test(name))
    .flatMap((name) => {
      const found = statSync(join('/proc', name), { throwIfNoEntry: false });
      return found && (found.mode & 0o004) !== 0 ? [{ name, isFolder: found.isDirectory() }] : [];
    });
}

function openFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
