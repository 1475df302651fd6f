import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { inside } from './inside.ts';
import { type ProcMasks, procArguments } from './proc.ts';
import { hostEtc, ownEtc } from './system-files.ts';

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
  etc: string;
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
    ...hostEtc.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]),
    ...ownEtc.flatMap((name) => ['--ro-bind', join(input.etc, name), `/etc/${name}`]),
    ...['--ro-bind', join(input.trust, 'ca-bundle.pem'), inside.caBundle],
    ...['--symlink', 'certs/ca-certificates.crt', '/etc/ssl/cert.pem'],
    ...['--symlink', '/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt'],
    ...['--ro-bind', join(input.trust, 'session-ca.pem'), inside.sessionCa],
    ...['--ro-bind', join(input.trust, 'java-trust.jks'), inside.javaTrust],
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
  uid: number | undefined;
  programs: Readonly<Record<'setpriv' | 'unshare' | 'sh' | 'ip' | 'prlimit', string>>;
  rlimits: readonly string[];
  /** File with the lines of `networkSetup`. */
  network: string;
  /** What comes before all, still as root: the mount of the session's disk. */
  mount: readonly string[];
  node: string;
  bootstrap: string;
}

/**
 * What the worker spawns: each program executes the next, so that the process id stays one. Once the disk is mounted
 * the uid is dropped, then come the network namespace with its loopback, the limits, and the bootstrap.
 */
export function chainCommand(input: ChainInput): [string, ...string[]] {
  const { programs, uid } = input;
  const drop =
    uid === undefined
      ? []
      : [programs.setpriv, `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs'];
  const chain = [
    ...input.mount,
    ...drop,
    ...[programs.unshare, '--user', '--map-root-user', '--net'],
    ...[programs.sh, '-c', `${programs.ip} -batch "$0" && exec "$@"`, input.network],
    // From here on the worker's death is ours. Bubblewrap sees to it as well, but only once it is up, and what changes
    // user or namespace forgets it; until this is set, the bootstrap ends when its IPC channel does.
    ...[programs.setpriv, '--pdeathsig', 'KILL'],
    ...[programs.prlimit, ...input.rlimits],
    ...[
      input.node,
      '--disable-warning=ExperimentalWarning',
      input.bootstrap,
      String(inside.proxyPort),
      'transparent',
    ],
  ];
  const [first = '', ...rest] = chain;
  return [first, ...rest];
}

/**
 * For `ip -batch`. Loopback only, and every address there is counts as this machine's: what is sent anywhere meets our
 * listeners.
 */
export const networkSetup = 'link set lo up\nroute add local 0.0.0.0/0 dev lo\n';

/** The filter's descriptor; a shell names no higher one than 9. */
const filterDescriptor = 9;

/**
 * Bubblewrap under a filter that it reads from a descriptor. Node opens every file close-on-exec, so a shell opens
 * this one; bubblewrap closes it before the program starts.
 */
export function withFilter(
  host: { bubblewrap: string; programs: Readonly<Record<'sh', string>> },
  filter: string,
  args: readonly string[],
): { file: string; args: string[] } {
  const open = `f=$1; shift; unset PWD; exec "$0" "$@" ${filterDescriptor}<"$f"`;
  return {
    file: host.programs.sh,
    args: ['-c', open, host.bubblewrap, filter, '--seccomp', String(filterDescriptor), ...args],
  };
}
