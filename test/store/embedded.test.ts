import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type EmbeddedPostgres,
  findEmbeddedPostgres,
  hasEmbeddedData,
  startEmbeddedPostgres,
} from '../../src/store/embedded.ts';
import { EmbeddedPostgresError } from '../../src/store/embedded-cluster.ts';
import { openHome } from '../../src/store/home.ts';

let folder: string;
const running: EmbeddedPostgres[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tagalong-embedded-'));
});

afterEach(async () => {
  for (const postgres of running.splice(0)) await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(home: string, durable = false): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres(openHome(home), { durable });
  running.push(postgres);
  return postgres;
}

async function ask<T>(postgres: EmbeddedPostgres, query: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: postgres.url });
  client.on('error', () => {});
  await client.connect();
  const { rows } = await client.query(query);
  await client.end();
  return rows as T[];
}

describe('the embedded Postgres', () => {
  it('keeps its data over a stop and a start', async () => {
    const first = await start(folder);
    await ask(first, 'create table kept (n int)');
    await first.stop();
    const second = await start(folder);
    expect(await ask(second, 'select * from kept')).toEqual([]);
  });

  it('listens on loopback only, wants a password, and has an empty environment', async () => {
    const postgres = await start(folder);
    const url = new URL(postgres.url);
    expect(url.hostname).toBe('127.0.0.1');
    expect(url.password.length).toBeGreaterThanOrEqual(32);
    url.password = 'wrong';
    await expect(new pg.Client({ connectionString: url.href }).connect()).rejects.toThrow(
      'password authentication failed',
    );
    expect(readFileSync(`/proc/${postgres.pid}/environ`, 'utf8')).toBe('');
    expect(readFileSync(`/proc/${postgres.pid}/cmdline`, 'utf8')).not.toContain(url.password);
    const passwordFile = join(openHome(folder).private, 'postgres-password');
    expect(statSync(passwordFile).mode & 0o777).toBe(0o600);
  });

  it('adopts the one that a killed run left behind', async () => {
    const left = await start(folder);
    const adopted = await start(folder);
    expect(adopted.pid).toBe(left.pid);
    expect(await ask(adopted, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('starts again after it was killed itself', async () => {
    const first = await start(folder, true);
    await ask(first, 'create table kept (n int)');
    process.kill(first.pid, 'SIGKILL');
    const second = await start(folder);
    expect(second.pid).not.toBe(first.pid);
    expect(await ask(second, 'select * from kept')).toEqual([]);
  });

  it('starts over after an initdb that was cut off', async () => {
    const home = openHome(folder);
    mkdirSync(join(home.open, 'postgres', 'data', 'base'), { recursive: true });
    expect(hasEmbeddedData(home)).toBe(false);
    const postgres = await start(folder);
    expect(await ask(postgres, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('refuses to guess when the password is missing beside data', async () => {
    const first = await start(folder);
    await first.stop();
    rmSync(join(openHome(folder).private, 'postgres-password'));
    await expect(startEmbeddedPostgres(openHome(folder))).rejects.toThrow(EmbeddedPostgresError);
  });

  it('is found by others only while it runs', async () => {
    const home = openHome(folder);
    expect(await findEmbeddedPostgres(home)).toBeUndefined();
    const postgres = await start(folder);
    expect(await findEmbeddedPostgres(home)).toMatchObject({ pid: postgres.pid });
    await postgres.stop();
    expect(await findEmbeddedPostgres(home)).toBeUndefined();
  });

  it('runs in a checkout that others cannot enter', async () => {
    const closed = join(folder, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    chmodSync(closed, 0o700);
    const home = openHome(join(closed, '.tagalong'));
    const postgres = await start(join(closed, '.tagalong'));
    expect(await ask(postgres, 'select 1 as one')).toEqual([{ one: 1 }]);
    if (process.getuid?.() === 0) {
      expect(home.open.startsWith(closed)).toBe(false);
      const owner = spawnSync('ps', ['-o', 'uid=', '-p', String(postgres.pid)], {
        encoding: 'utf8',
      }).stdout.trim();
      expect(Number(owner)).toBeGreaterThan(0);
    }
    await postgres.stop();
    running.length = 0;
    if (!home.open.startsWith(folder)) rmSync(home.open, { recursive: true, force: true });
    expect(existsSync(home.private)).toBe(true);
    expect(readdirSync(home.private)).toContain('postgres-password');
  });
});
