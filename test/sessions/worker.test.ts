import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startWorker, type Worker } from '../../src/sessions/worker.ts';
import { newId } from '../../src/store/ids.ts';
import { enqueue, type Jobs } from '../../src/store/jobs.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';

let test: TestDatabase;
let worker: Worker | undefined;
beforeEach(async () => {
  test = await createTestDatabase();
});
afterEach(() => worker?.stop(async () => {}));

describe('the worker', () => {
  it('runs every kind of job that it has a handler for', async () => {
    const { organizationId } = await createFixture(test.database);
    const ran = new Set<string>();
    const note = (task: keyof Jobs) => async () => void ran.add(task);
    const handlers = {
      route: note('route'),
      resume: note('resume'),
      turn: note('turn'),
      presence: note('presence'),
      send: note('send'),
      confirm: note('confirm'),
      notify: note('notify'),
    };
    let cleaned = 0;
    worker = await startWorker({
      database: test.database,
      databaseUrl: test.url,
      identity: { workerId: newId('worker'), host: 'here', pid: process.pid },
      handlers,
      onStop: () => {},
      sweeps: [],
      housekeeping: [async () => void cleaned++],
      maxTurns: 2,
      logger: pino({ level: 'silent' }),
    });
    const about = { organizationId, sessionId: 's', deliveryId: 'd', anchorId: 'a', publicationId: 'p' };
    // Each by itself: in a new database the runner makes the kinds known meanwhile, in an order of its own.
    for (const task of Object.keys(handlers) as (keyof Jobs)[]) {
      await withOrganization(test.database, organizationId, (tx) =>
        enqueue(tx, task, { ...about, messageId: 'm', phase: 'done' }),
      );
    }
    await expect.poll(() => [...ran].sort(), { timeout: 20_000 }).toEqual(Object.keys(handlers).sort());
    await expect.poll(() => cleaned, { timeout: 20_000 }).toBe(1);
  });
});
