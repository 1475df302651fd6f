import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import {
  EmbeddedPostgresError,
  type Identity,
  initialise,
  placeBinaries,
  processIdentity,
  userName,
} from './embedded-cluster.ts';
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

const databaseName = 'tagalong';
const launchAttempts = 8;

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
  const dataFolder = dataFolderOf(home);
  const passwordFile = passwordFileOf(home);
  if (hasEmbeddedData(home) && !existsSync(passwordFile)) {
    throw new EmbeddedPostgresError(
      `There is a database in ${dataFolder}, but its password ${passwordFile} is missing. Put the file back, or remove the folder to start anew.`,
    );
  }
  if (!hasEmbeddedData(home)) initialise(native, dataFolder, passwordFile, identity);
  const password = readFileSync(passwordFile, 'utf8').trim();

  return (
    (await adopt(dataFolder, password)) ?? launchPatiently(native, dataFolder, password, identity, options)
  );
}

/** Whether this home has a database of its own. */
export function hasEmbeddedData(home: Home): boolean {
  return existsSync(join(dataFolderOf(home), 'PG_VERSION'));
}

/** The embedded Postgres of this home if it runs now; starts and changes nothing. */
export async function findEmbeddedPostgres(home: Home): Promise<EmbeddedPostgres | undefined> {
  const passwordFile = passwordFileOf(home);
  if (!hasEmbeddedData(home) || !existsSync(passwordFile)) return undefined;
  const found = leftOver(dataFolderOf(home));
  const password = readFileSync(passwordFile, 'utf8').trim();
  return found && (await answers(found.port, password)) ? handle(found.pid, found.port, password) : undefined;
}

const dataFolderOf = (home: Home): string => join(home.open, 'postgres', 'data');
const passwordFileOf = (home: Home): string => join(home.private, 'postgres-password');

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
function leftOver(dataFolder: string): { pid: number; port: number } | undefined {
  const pidFile = join(dataFolder, 'postmaster.pid');
  if (!existsSync(pidFile)) return undefined;
  const lines = readFileSync(pidFile, 'utf8').split('\n');
  const pid = Number(lines[0]);
  return runsOn(pid, dataFolder) ? { pid, port: Number(lines[3]) } : undefined;
}

/** Takes a left-over over when it answers to our password; ends it when it does not. */
async function adopt(dataFolder: string, password: string): Promise<EmbeddedPostgres | undefined> {
  const found = leftOver(dataFolder);
  if (!found) return undefined;
  for (let attempt = 0; attempt < 10; attempt++) {
    if (found.port && (await answers(found.port, password))) return handle(found.pid, found.port, password);
    await sleep(100);
  }
  await stopProcess(found.pid);
  return undefined;
}

function runsOn(pid: number, dataFolder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(dataFolder);
  } catch {
    return false;
  }
}

/**
 * The helpers of a Postgres that was killed hold its shared memory for some seconds more, and a new one refuses to
 * start beside them.
 */
async function launchPatiently(...launchArguments: Parameters<typeof launch>): Promise<EmbeddedPostgres> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch(...launchArguments);
    } catch (error) {
      if (attempt === launchAttempts) throw error;
      await sleep(1_000);
    }
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
    // After `exit` and the end of its output, so that its last words are known.
    child.once('close', (code) =>
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
