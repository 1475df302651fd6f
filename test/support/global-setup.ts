import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { openHome } from '../../src/store/home.ts';
import { migrate } from '../../src/store/migrate.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL of the test Postgres; `template` in it is a migrated database to clone. */
    postgresUrl: string;
  }
}

/** One real Postgres for the whole run, with one migrated database that each test file clones. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-test-'));
  const postgres = await startEmbeddedPostgres(openHome(folder), { durable: false, maxConnections: 400 });
  const admin = new pg.Client({ connectionString: postgres.url });
  await admin.connect();
  await admin.query('create database template');
  await admin.end();
  const template = new URL(postgres.url);
  template.pathname = '/template';
  await migrate(template.href);
  project.provide('postgresUrl', postgres.url);
  return async () => {
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}
