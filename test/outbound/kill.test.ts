import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { and, eq } from 'drizzle-orm';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { messages } from '../../src/store/schema.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import type { Post } from './cloud.ts';
import { ask, createStage, giveMessage, type Stage, voteOn } from './stage.ts';

const program = fileURLToPath(new URL('./send-process.ts', import.meta.url));

describe('a sender that is killed (SIGKILL)', () => {
  let test: TestDatabase;
  let server: Server | undefined;

  beforeAll(async () => {
    test = await createTestDatabase();
  });
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  /** Runs the sender in a process of its own and kills it at the n-th post, before or after the cloud has stored it. */
  const killAt = async (stage: Stage, nth: number, moment: 'before' | 'after') => {
    let child: ChildProcess | undefined;
    let seen = 0;
    server = createServer(async (request, response) => {
      const body = JSON.parse(Buffer.concat(await request.toArray()).toString()) as Omit<Post, 'token'>;
      seen++;
      if (seen === nth && moment === 'before') return void child?.kill('SIGKILL');
      stage.cloud.posts.push({ ...body, token: '' });
      if (seen === nth) return void child?.kill('SIGKILL');
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ id: String(stage.cloud.posts.length - 1) }));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const cloudUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    child = spawn(process.execPath, [program, test.url, cloudUrl, stage.organizationId, stage.anchorId], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [, signal] = await once(child, 'exit');
    expect(signal).toBe('SIGKILL');
  };

  it.each([
    { nth: 1, moment: 'before' },
    { nth: 1, moment: 'after' },
    { nth: 2, moment: 'before' },
    { nth: 2, moment: 'after' },
  ] as const)('$moment post $nth arrived has lost nothing and doubled nothing', async ({ nth, moment }) => {
    const stage = await createStage(test.database);
    const ids = [];
    for (const text of ['one', 'two', 'three']) ids.push(await stage.post(text));
    await killAt(stage, nth, moment);
    expect((await stage.anchor()).leaseWorkerId).toMatch(/^worker_\d+$/);

    await stage.send({ workerId: 'worker_b' });
    expect(stage.cloud.texts()).toHaveLength(moment === 'before' ? nth - 1 : nth);
    await stage.expireLease();
    await stage.send({ workerId: 'worker_b' });
    expect(stage.cloud.texts()).toEqual(['one', 'two', 'three']);
    expect(stage.cloud.lookups).toHaveLength(1);
    for (const id of ids) expect(await stage.action(id)).toMatchObject({ state: 'sent' });
  });

  it.each(['before', 'after'] as const)(
    'between the decision over a request and its sending, %s it arrived: sent once, and told once',
    async (moment) => {
      const stage = await createStage(test.database);
      await giveMessage(stage);
      const { approvalId, actionId } = await ask(stage, 'plans');
      await voteOn(stage, approvalId);
      // The first post is the question.
      await killAt(stage, 2, moment);
      await stage.expireLease();
      await stage.send({ workerId: 'worker_b' });
      await stage.send({ workerId: 'worker_b' });
      expect(stage.cloud.posts.map(({ tool }) => tool)).toEqual([
        'ask_approval',
        'slack_canvas',
        'close_approval',
      ]);
      expect(await stage.action(actionId)).toMatchObject({ state: 'sent' });
      const told = await test.database
        .select()
        .from(messages)
        .where(
          and(
            eq(messages.sessionId, stage.sessionId),
            eq(messages.externalKey, `approval:${approvalId}:result`),
          ),
        );
      expect(told).toMatchObject([{ state: 'waiting', wakes: true }]);
    },
  );
});
