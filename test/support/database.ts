import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, inject } from 'vitest';
import { connect, type Database } from '../../src/store/connection.ts';

export interface TestDatabase {
  url: string;
  database: Database;
  drop(): Promise<void>;
}

/** A fresh migrated database, cloned from the template. Dropped after the test file. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const base = inject('postgresUrl');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await administer(base, `create database ${name} template template`);
  const url = new URL(base);
  url.pathname = `/${name}`;
  const database = connect({ url: url.href });
  const drop = async () => {
    await database.$client.end();
    await administer(base, `drop database if exists ${name} with (force)`);
  };
  afterAll(drop);
  return { url: url.href, database, drop };
}

async function administer(url: string, statement: string): Promise<void> {
  // Only one session may clone the template at a time.
  for (let attempt = 0; ; attempt++) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(statement);
      return;
    } catch (error) {
      if (attempt === 50 || (error as { code?: string }).code !== '55006') throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      await client.end();
    }
  }
}
