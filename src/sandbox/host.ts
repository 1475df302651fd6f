import { execFile } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { promisify } from 'node:util';
import type { BubblewrapFeatures } from './arguments.ts';
import { findProgram } from './find-program.ts';
import { SandboxError } from './sandbox.ts';

const run = promisify(execFile);

/** What of the host the sandbox is built with. */
export interface SandboxHost {
  bubblewrap: string;
  version: string;
  features: BubblewrapFeatures;
  programs: Record<'setpriv' | 'unshare' | 'sh' | 'ip' | 'prlimit' | 'du', string>;
  /** Whether this process may make namespaces without a user namespace around them: as root, unless in a container. */
  makesNamespaces: boolean;
}

export const installLine = 'apt-get install -y bubblewrap iproute2 util-linux';

/**
 * Finds bubblewrap on the PATH and the few system programs beside it. Throws `no_isolation`, with the line to run,
 * where one is missing: there is no silent way on without.
 */
export async function findHost(path: string | undefined): Promise<SandboxHost> {
  if (process.platform !== 'linux') {
    throw new SandboxError(
      'no_isolation',
      `Agents run in sandboxes on Linux only, so far; this is ${process.platform}.`,
    );
  }
  const found = findProgram('bwrap', path, false);
  if (!found) {
    throw new SandboxError(
      'no_isolation',
      `bubblewrap is not installed: there is no "bwrap" on the PATH. Run as root: ${installLine}`,
    );
  }
  // A link in a folder that the session's uid cannot enter would not do.
  const bubblewrap = realpathSync(found);
  const programs = {} as SandboxHost['programs'];
  for (const name of ['setpriv', 'unshare', 'sh', 'ip', 'prlimit', 'du'] as const) {
    const found = findProgram(name, path, true);
    if (!found) {
      throw new SandboxError(
        'no_isolation',
        `The sandbox needs the program "${name}", which is missing. Run as root: ${installLine}`,
      );
    }
    programs[name] = found;
  }
  const version = await versionOf(bubblewrap);
  return {
    bubblewrap,
    version,
    features: featuresOf(version),
    programs,
    makesNamespaces: await makesNamespaces(programs),
  };
}

async function makesNamespaces({ unshare, sh }: SandboxHost['programs']): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const make = ['--mount', '--propagation', 'slave', '--net', sh, '-c', ':'];
  return run(unshare, make, { env: {}, cwd: '/', timeout: 10_000 }).then(
    () => true,
    () => false,
  );
}

async function versionOf(bubblewrap: string): Promise<string> {
  try {
    const { stdout } = await run(bubblewrap, ['--version'], { env: {}, cwd: '/', timeout: 10_000 });
    return stdout.trim().replace(/^bubblewrap /, '');
  } catch (error) {
    throw new SandboxError('no_isolation', `${bubblewrap} does not run: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** What a version of bubblewrap can do, by its own news file. */
export function featuresOf(version: string): BubblewrapFeatures {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  const since = (wanted: number) => major > 0 || minor >= wanted;
  return { tmpfsSize: since(7), disableUserns: since(8) };
}

/** What the kernel's switches say when a user namespace cannot be made; undefined when none of them forbids it. */
export function usernsAdvice(read: (file: string) => string | undefined = readSwitch): string | undefined {
  if (read('/proc/sys/kernel/unprivileged_userns_clone') === '0') {
    return 'User namespaces are off for ordinary users. Run as root: sysctl -w kernel.unprivileged_userns_clone=1';
  }
  if (read('/proc/sys/user/max_user_namespaces') === '0') {
    return 'User namespaces are off. Run as root: sysctl -w user.max_user_namespaces=15000';
  }
  if (read('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1') {
    return 'AppArmor forbids user namespaces to ordinary programs. Run as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0';
  }
  return undefined;
}

function readSwitch(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
