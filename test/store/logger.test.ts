import { Writable } from 'node:stream';
import { sql } from 'drizzle-orm';
import pino from 'pino';
import { describe, expect, it } from 'vitest';
import { serializeError } from '../../src/store/logger.ts';
import { createTestDatabase } from '../support/database.ts';

describe('serializeError', () => {
  it('keeps the parameters of a failed query out of the log', async () => {
    const { database } = await createTestDatabase();
    const failure = await database
      .execute(sql`select ${'what Maya said'}::int`)
      .catch((error: unknown) => error);
    let written = '';
    const sink = new Writable({
      write(chunk, _, done) {
        written += chunk;
        done();
      },
    });
    pino({ serializers: { err: serializeError } }, sink).warn({ err: failure }, 'failed');
    expect(String(failure)).toContain('what Maya said');
    expect(written).toContain('invalid input syntax');
    expect(written).not.toContain('what Maya said');
  });
});
