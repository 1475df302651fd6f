import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Home } from '../../store/home.ts';
import { AgentError } from '../program.ts';
import type { ProgramPackage } from './profile.ts';

/** What is told of an installation while it goes on. */
export type InstallProgress =
  | { state: 'installing'; package: string; version: string }
  | { state: 'installed'; package: string; version: string; seconds: number };

export interface InstalledProgram {
  folder: string;
  /** Names of the packages in it. */
  packages: readonly string[];
}

export interface InstallerOptions {
  home: Home;
  /** What npm reads its registry, proxy and log-in from; nothing else of it is passed on. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Default: `npm`, from the PATH of the environment. */
  npm?: string;
  timeoutMs?: number;
}

export type Installer = (
  wanted: ProgramPackage,
  onProgress: (progress: InstallProgress) => void,
) => Promise<InstalledProgram>;

const defaultTimeoutMs = 10 * 60_000;
const keptOutputChars = 8_000;
const unfinished = '.unfinished-';
const locks = fileURLToPath(new URL('locks', import.meta.url));

/** What npm itself reads of the environment, so that it works behind a proxy or with a registry of one's own. */
const npmVariables =
  /^(PATH|HOME|https?_proxy|all_proxy|no_proxy|NODE_EXTRA_CA_CERTS|NODE_USE_SYSTEM_CA|SSL_CERT_FILE|npm_config_(registry|.+:registry|userconfig|cache|cafile|https?[_-]proxy|proxy|noproxy|fetch_.+))$/i;

/**
 * Puts agent programs from the npm registry into the home, one folder per version that all sessions share read-only.
 * What is there is used without asking anybody. A folder appears by one rename when it is complete; who asks meanwhile
 * waits for the same installation. No script of any package is run.
 */
export function createInstaller(options: InstallerOptions): Installer {
  const programs = join(options.home.open, 'programs');
  const running = new Map<string, Promise<void>>();
  return async (wanted, onProgress) => {
    const folder = join(programs, `${wanted.name.replace('/', '+')}@${wanted.version}`);
    if (!existsSync(folder)) {
      const { name, version } = wanted;
      onProgress({ state: 'installing', package: name, version });
      const startedAt = performance.now();
      let installation = running.get(folder);
      if (!installation) {
        installation = install(wanted, folder, programs, options).finally(() => running.delete(folder));
        running.set(folder, installation);
      }
      await installation;
      const seconds = Math.round((performance.now() - startedAt) / 1_000);
      onProgress({ state: 'installed', package: name, version, seconds });
    }
    return { folder, packages: packagesIn(join(folder, 'node_modules')) };
  };
}

async function install(
  wanted: ProgramPackage,
  target: string,
  programs: string,
  options: InstallerOptions,
): Promise<void> {
  mkdirSync(programs, { recursive: true });
  chmodSync(programs, 0o755);
  removeUnfinished(programs);
  const folder = join(programs, `${unfinished}${process.pid}-${wanted.name.replace('/', '+')}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  try {
    const dependencies = { [wanted.name]: wanted.version };
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({ name: 'program', private: true, dependencies }),
    );
    if (wanted.lock) {
      const lock = JSON.parse(readFileSync(join(locks, wanted.lock), 'utf8')) as { name: string };
      writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ ...lock, name: 'program' }));
    }
    await runNpm(wanted, folder, options);
    chmodSync(folder, 0o755);
    renameSync(folder, target);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    // Another process was first; what it placed is the same.
    if (existsSync(target)) return;
    throw error;
  }
}

async function runNpm(wanted: ProgramPackage, folder: string, options: InstallerOptions): Promise<void> {
  const args = [
    wanted.lock ? 'ci' : 'install',
    ...['--ignore-scripts', '--include=optional', '--omit=dev', '--prefer-offline'],
    ...['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'],
  ];
  const given = Object.entries(options.environment).filter(
    ([name, value]) => value !== undefined && npmVariables.test(name),
  );
  // A registry behind a certificate of one's own is trusted where this machine trusts it: npm may run on our Node,
  // which else knows public authorities only.
  const env = { NODE_USE_SYSTEM_CA: '1', ...Object.fromEntries(given) };
  // Readable for the sessions' uids, whatever our own mask is.
  const child = spawn('/bin/sh', ['-c', 'umask 022; exec "$0" "$@"', options.npm ?? 'npm', ...args], {
    cwd: folder,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-keptOutputChars);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const timer = setTimeout(() => {
    output += '\nIt took too long and was ended.';
    // Its whole group: npm starts others.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, options.timeoutMs ?? defaultTimeoutMs);
  const code = await new Promise<number | string | null>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (exit, signal) => resolve(exit ?? signal));
  });
  clearTimeout(timer);
  if (code === 0) return;
  const reason = reasonOf(output) ?? `npm ended with ${code}`;
  throw new AgentError(
    'start_failed',
    `The agent program ${wanted.name} ${wanted.version} could not be installed: ${reason}`,
  );
}

/** Of npm's output the line that says most: its first error without a code, else the last line. */
function reasonOf(output: string): string | undefined {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const errors = lines.filter((line) =>
    /^npm (error|ERR!) (?!code |A complete log|errno |syscall |path )/.test(line),
  );
  const line = errors[0]?.replace(/^npm (error|ERR!) (\d{3} )?/, '') ?? lines.at(-1);
  return line?.slice(0, 200);
}

/** What a process left that was ended in the middle. */
function removeUnfinished(programs: string): void {
  for (const name of readdirSync(programs)) {
    if (!name.startsWith(unfinished)) continue;
    const pid = Number.parseInt(name.slice(unfinished.length), 10);
    if (pid !== process.pid && !existsSync(`/proc/${pid}`)) {
      rmSync(join(programs, name), { recursive: true, force: true });
    }
  }
}

function packagesIn(modules: string): string[] {
  return readdirSync(modules)
    .filter((name) => !name.startsWith('.'))
    .flatMap((name) =>
      name.startsWith('@') ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
    );
}
