import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { inside } from './inside.ts';
import { type ProcMasks, procArguments } from './proc.ts';
import type { SystemFiles } from './system-files.ts';

/** What the installed bubblewrap can do. */
export interface BubblewrapFeatures {
  /** Since 0.7. */
  tmpfsSize: boolean;
  /** Since 0.8, and refused by some hosts. */
  disableUserns: boolean;
}

export interface BubblewrapInput {
  features: BubblewrapFeatures;
  workspace: string;
  home: string;
  trust: string;
  etc: SystemFiles;
  proc: ProcMasks;
  nodeFolder: string;
  mounts: readonly { from: string; to: string }[];
  env: Readonly<Record<string, string>>;
  tmpBytes: number;
  command: readonly string[];
}

/**
 * The argument list of bubblewrap. Nothing is mounted below the two folders that the agent writes (CVE-2026-87766 made
 * of that a way to the host), the root and /dev are read-only, and the network namespace is the one that we are in.
 */
export function bubblewrapArguments(input: BubblewrapInput): string[] {
  const tmpfs = (to: string, bytes: number) => [
    '--perms',
    '1777',
    ...(input.features.tmpfsSize ? ['--size', String(bytes)] : []),
    '--tmpfs',
    to,
  ];
  return [
    ...['--unshare-user', '--unshare-ipc', '--unshare-pid', '--unshare-uts', '--unshare-cgroup'],
    ...(input.features.disableUserns ? ['--disable-userns'] : []),
    ...['--die-with-parent', '--new-session', '--cap-drop', 'ALL'],
    ...['--uid', String(inside.uid), '--gid', String(inside.uid), '--hostname', inside.hostname],
    ...systemArguments(),
    ...['--ro-bind', input.etc.folder, '/etc'],
    ...input.etc.hostFolders.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]),
    ...['--ro-bind', input.trust, inside.trust],
    ...['--ro-bind', input.nodeFolder, inside.nodeFolder],
    ...input.mounts.flatMap(({ from, to }) => ['--ro-bind', from, to]),
    ...['--proc', '/proc', ...procArguments(input.proc), '--dev', '/dev'],
    ...tmpfs('/dev/shm', input.tmpBytes),
    ...['--remount-ro', '/dev'],
    ...tmpfs('/tmp', input.tmpBytes),
    ...tmpfs('/var/tmp', input.tmpBytes),
    ...['--bind', input.workspace, inside.workspace],
    ...['--bind', input.home, inside.home],
    ...['--remount-ro', '/', '--chdir', inside.workspace],
    // Empty already; said again so that it does not hang on how we are started.
    '--clearenv',
    ...Object.entries(input.env).flatMap(([name, value]) => ['--setenv', name, value]),
    ...['--', ...input.command],
  ];
}

/** /usr, and the names at the root that lead into it: links on merged systems, folders of their own on others. */
function systemArguments(): string[] {
  const roots = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'].flatMap((name) => {
    const path = `/${name}`;
    if (!existsSync(path)) return [];
    return lstatSync(path).isSymbolicLink()
      ? ['--symlink', readlinkSync(path), path]
      : ['--ro-bind', path, path];
  });
  return ['--ro-bind', '/usr', '/usr', ...roots];
}

export interface ChainInput {
  programs: Readonly<Record<'setpriv' | 'unshare' | 'sh' | 'ip' | 'prlimit', string>>;
  /** Root makes the namespaces, else the session's own uid does. */
  byRoot: boolean;
  uid: number | undefined;
  rlimits: readonly string[];
  /** File with the lines of `networkSetup`. */
  network: string;
  node: string;
  bootstrap: string;
}

/**
 * What the worker spawns: each program executes the next, so that the process id stays one. Namespaces for network and,
 * by root, mounts; the loopback; the limits; the bootstrap. By root it is of no session yet, which is dropped to when it becomes a
 * program; else the uid is dropped first, and a user namespace gives the rights.
 */
export function chainCommand(input: ChainInput): [string, ...string[]] {
  const { programs, byRoot, uid } = input;
  const namespaces = byRoot
    ? ['--mount', '--propagation', 'slave', '--net']
    : ['--user', '--map-root-user', '--net'];
  const chain = [
    ...(byRoot || uid === undefined ? [] : [programs.setpriv, ...dropArguments(uid)]),
    ...[programs.unshare, ...namespaces],
    ...[programs.sh, '-c', `${programs.ip} -batch "$0" && exec "$@"`, input.network],
    // From here on the worker's death is ours. What changes user or namespace forgets it; until this is set, the
    // bootstrap ends when its IPC channel does.
    ...[programs.setpriv, ...dieWithWorker],
    ...[programs.prlimit, ...input.rlimits],
    ...[input.node, '--disable-warning=ExperimentalWarning', input.bootstrap],
    ...[String(inside.proxyPort), 'transparent'],
  ];
  const [first = '', ...rest] = chain;
  return [first, ...rest];
}

const dieWithWorker = ['--pdeathsig', 'KILL'];

const dropArguments = (uid: number): string[] => [
  `--reuid=${uid}`,
  `--regid=${uid}`,
  '--clear-groups',
  '--no-new-privs',
];

/**
 * For `ip -batch`. Loopback only, and every address there is counts as this machine's: what is sent anywhere meets our
 * listeners.
 */
export const networkSetup = 'link set lo up\nroute add local 0.0.0.0/0 dev lo\n';

/** The filter's descriptor; a shell names no higher one than 9. */
const filterDescriptor = 9;

export interface SessionInput {
  programs: Readonly<Record<'setpriv' | 'sh', string>>;
  bubblewrap: string;
  byRoot: boolean;
  uid: number | undefined;
  /** File with the seccomp filter. */
  filter: string;
  /** Process id of the worker. */
  worker: number;
  args: readonly string[];
}

/**
 * What the bootstrap becomes: a process of the session's uid, then bubblewrap under a filter that it reads from a
 * descriptor. Node opens every file close-on-exec, so a shell opens this one; bubblewrap closes it before the program
 * starts. A worker that died while the uid was dropped would not be missed any more, so the shell looks who its parent
 * is.
 */
export function sessionCommand(input: SessionInput): { file: string; args: string[] } {
  const { programs, byRoot, uid } = input;
  const open = `[ "$PPID" = "$1" ] || exit 71; f=$2; shift 2; unset PWD; exec "$0" "$@" ${filterDescriptor}<"$f"`;
  const chain = [
    ...(byRoot && uid !== undefined ? [programs.setpriv, ...dropArguments(uid), ...dieWithWorker] : []),
    ...[programs.sh, '-c', open, input.bubblewrap, String(input.worker), input.filter],
    ...['--seccomp', String(filterDescriptor), ...input.args],
  ];
  const [file = '', ...args] = chain;
  return { file, args };
}
