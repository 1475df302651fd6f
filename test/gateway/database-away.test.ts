import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Database } from '../../src/store/connection.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { type Home, openHome } from '../../src/store/home.ts';
import { connectInbox } from '../../src/store/inbox.ts';
import { migrate } from '../../src/store/migrate.ts';
import { addPublication, send, slackMention, startTestGateway, type TestGateway } from './support.ts';

describe('while Postgres is away', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-away-'));
  let home: Home;
  let postgres: EmbeddedPostgres;
  let database: Database;

  beforeAll(async () => {
    home = openHome(folder);
    postgres = await startEmbeddedPostgres(home, { durable: false });
    await migrate(postgres.url);
    database = connect({ url: postgres.url, maxConnections: 4 });
  });
  afterAll(async () => {
    await database.$client.end();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const inboxOf = (url: string) => connectInbox(url);

  it('answers 503 with Retry-After, and takes the retry once it is back', async () => {
    // A pool that finds the database under a name of its own, so that it can move to another port in between.
    const inbox = movable();
    const gateway: TestGateway = await startTestGateway(
      { url: postgres.url, database },
      { inbox: inbox.pool, webhookLimits: { secretsTtlMs: 0 } },
    );
    const slack = await addPublication(gateway, 'slack');
    const mention = slackMention(slack.secret);
    expect((await send(gateway.port, slack.path, slackMention(slack.secret))).status).toBe(200);

    await postgres.stop();
    const away = await send(gateway.port, slack.path, mention);
    expect(away.status).toBe(503);
    expect(Number(away.headers['retry-after'])).toBeGreaterThan(0);
    const ready = await send(gateway.port, '/ready', { method: 'GET' });
    expect(ready.status).toBe(503);
    expect(JSON.parse(ready.body)).toMatchObject({ database: 'no answer' });
    expect((await send(gateway.port, '/health', { method: 'GET' })).status).toBe(200);
    const api = await gateway.api('GET', '/v1/agents');
    expect(api.status).toBe(503);
    expect(api.body).toMatchObject({ type: 'error', error: { type: 'api_error' } });

    postgres = await startEmbeddedPostgres(home, { durable: false });
    inbox.moveTo(postgres.url);
    expect((await send(gateway.port, slack.path, mention)).status).toBe(200);
    expect((await send(gateway.port, slack.path, mention)).status).toBe(200);
    const { rows } = await inbox.pool.query('select count(*)::int as n from deliveries');
    expect(rows[0]).toEqual({ n: 2 });
    await gateway.close();
    await inbox.pool.end();
  });

  it('answers 503 within the three seconds that Slack waits when the database hangs', async () => {
    database = connect({ url: postgres.url, maxConnections: 4 });
    const inbox = inboxOf(postgres.url);
    const gateway = await startTestGateway({ url: postgres.url, database }, { inbox });
    const slack = await addPublication(gateway, 'slack');
    expect((await send(gateway.port, slack.path, slackMention(slack.secret))).status).toBe(200);
    const blocker = new pg.Client({ connectionString: postgres.url });
    await blocker.connect();
    await blocker.query('begin; lock table delivery_keys in access exclusive mode');
    const held = slackMention(slack.secret);
    const [first, second] = await Promise.all([
      send(gateway.port, slack.path, held),
      send(gateway.port, slack.path, slackMention(slack.secret)),
    ]);
    expect([first.status, second.status]).toEqual([503, 503]);
    await blocker.query('rollback');
    await blocker.end();
    expect((await send(gateway.port, slack.path, held)).status).toBe(200);
    await gateway.close();
    await inbox.end();
  });

  it('loses nothing when every connection is cut at once', async () => {
    const inbox = inboxOf(postgres.url);
    const gateway = await startTestGateway({ url: postgres.url, database }, { inbox });
    const slack = await addPublication(gateway, 'slack');
    const requests = Array.from({ length: 200 }, () => slackMention(slack.secret));
    const killer = new pg.Client({ connectionString: postgres.url, application_name: 'killer' });
    await killer.connect();
    const sending = Promise.all(requests.map((request) => send(gateway.port, slack.path, request)));
    for (let round = 0; round < 5; round++) {
      await killer.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tagalong inbox'`,
      );
    }
    const answers = await sending;
    expect(answers.every(({ status }) => status === 200 || status === 503)).toBe(true);
    const retried = await Promise.all(
      requests
        .filter((_, index) => answers[index]?.status === 503)
        .map((request) => send(gateway.port, slack.path, request)),
    );
    expect(retried.every(({ status }) => status === 200)).toBe(true);
    const { rows } = await killer.query(
      'select count(*)::int as n from deliveries where publication_id = $1',
      [slack.id],
    );
    expect(rows[0]).toEqual({ n: 200 });
    await killer.end();
    await gateway.close();
    await inbox.end();
  });

  function movable() {
    let pool = inboxOf(postgres.url);
    const proxy = new Proxy({} as pg.Pool, {
      get: (_, name) => {
        const value: unknown = Reflect.get(pool, name, pool);
        return typeof value === 'function' ? value.bind(pool) : value;
      },
    });
    return {
      pool: proxy,
      moveTo(url: string) {
        void pool.end();
        pool = inboxOf(url);
      },
    };
  }
});
