import { connect } from 'node:net';
import { eq, sql } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../src/store/connection.ts';
import { deliveries, publications } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import {
  addPublication,
  addSecret,
  send,
  signGithub,
  signLinear,
  signSlack,
  slackMention,
  startTestGateway,
  type TestGateway,
  type TestPublication,
  uniqueId,
} from './support.ts';

describe('the webhook door', () => {
  let database: Database;
  let gateway: TestGateway;
  let slack: TestPublication;
  let github: TestPublication;
  let linear: TestPublication;

  beforeAll(async () => {
    const test = await createTestDatabase();
    database = test.database;
    gateway = await startTestGateway(test, { webhookLimits: { secretsTtlMs: 0 } });
    slack = await addPublication(gateway, 'slack');
    github = await addPublication(gateway, 'github');
    linear = await addPublication(gateway, 'linear');
    return async () => gateway.close();
  });

  const stored = async (publication: TestPublication) =>
    database
      .select()
      .from(deliveries)
      .where(eq(deliveries.publicationId, publication.id))
      .orderBy(deliveries.id);
  const jobs = async (deliveryId: string) =>
    (
      await database.execute(
        sql`select payload from graphile_worker._private_jobs where payload->>'deliveryId' = ${deliveryId}`,
      )
    ).rows;

  it('stores a delivery with its exact bytes and the headers that its provider needs, and adds one route job', async () => {
    const body = Buffer.from('{ "action": "opened",\n "text": "caf\u00e9 \\u0000 \ud83d\ude80" }', 'utf8');
    const signed = signGithub(github.secret, body, 'guid-exact');
    signed.headers.cookie = 'not=kept';
    expect((await send(gateway.port, github.path, signed)).status).toBe(200);
    const delivery = (await stored(github)).at(-1);
    expect(delivery).toMatchObject({ provider: 'github', outcome: 'pending', publicationId: github.id });
    expect(delivery?.body?.equals(body)).toBe(true);
    expect(delivery?.headers).toEqual({
      'content-type': 'application/json',
      'x-github-event': 'issues',
      'x-github-delivery': 'guid-exact',
    });
    expect(await jobs(delivery?.id ?? '')).toEqual([
      { payload: { organizationId: gateway.organizationId, deliveryId: delivery?.id } },
    ]);
  });

  it('answers any Host: providers use the public name, tunnels others', async () => {
    const { headers, body } = slackMention(slack.secret);
    const answer = await send(gateway.port, slack.path, {
      headers: { ...headers, host: 'tunnel.example.net' },
      body,
    });
    expect(answer.status).toBe(200);
  });

  it("takes each provider's retry for the delivery that it repeats", async () => {
    const mention = slackMention(slack.secret);
    const issue = signGithub(github.secret, '{"action":"labeled"}');
    const retryId = uniqueId('linear-');
    const first = signLinear(linear.secret, { action: 'created' }, retryId);
    // Linear signs a retry anew, with a fresh timestamp in the body.
    const second = signLinear(linear.secret, { action: 'created' }, retryId, new Date(Date.now() + 1_000));
    expect(first.body).not.toEqual(second.body);
    const sequence: [TestPublication, typeof mention][] = [
      [slack, mention],
      [slack, { ...mention, headers: { ...mention.headers, 'x-slack-retry-num': '1' } }],
      [github, issue],
      [github, issue],
      [linear, first],
      [linear, second],
    ];
    const count = async () =>
      (await database.execute(sql`select count(*)::int as n from deliveries`)).rows[0]?.n;
    const before = Number(await count());
    for (const [publication, request] of sequence) {
      expect((await send(gateway.port, publication.path, request)).status).toBe(200);
    }
    expect(await count()).toBe(before + 3);
  });

  it('knows a captured body under a new delivery id, and leaves that id to the delivery that it belongs to', async () => {
    const captured = '{"action":"opened","issue":{"number":1}}';
    const genuine = '{"action":"opened","issue":{"number":2}}';
    const before = (await stored(github)).length;
    await send(gateway.port, github.path, signGithub(github.secret, captured, 'guid-1'));
    await send(gateway.port, github.path, signGithub(github.secret, captured, 'guid-2'));
    expect((await stored(github)).length).toBe(before + 1);
    await send(gateway.port, github.path, signGithub(github.secret, genuine, 'guid-2'));
    const after = await stored(github);
    expect(after.length).toBe(before + 2);
    expect(after.at(-1)?.body?.toString()).toBe(genuine);
  });

  it('takes the same bytes and ids at two publications for two deliveries', async () => {
    const other = await addPublication(gateway, 'github');
    const body = '{"action":"assigned"}';
    await send(gateway.port, github.path, signGithub(github.secret, body, 'guid-shared'));
    await send(gateway.port, other.path, signGithub(other.secret, body, 'guid-shared'));
    expect(await stored(other)).toHaveLength(1);
  });

  it('keeps a delivery whose id is missing, endless, or unprintable', async () => {
    const before = (await stored(github)).length;
    const without = signGithub(github.secret, '{"n":1}');
    delete without.headers['x-github-delivery'];
    const endless = signGithub(github.secret, '{"n":2}', 'x'.repeat(7_000));
    const odd = signSlack(
      slack.secret,
      JSON.stringify({ type: 'event_callback', event_id: 'a\u0000b\u20ac' }),
    );
    expect((await send(gateway.port, github.path, without)).status).toBe(200);
    expect((await send(gateway.port, github.path, endless)).status).toBe(200);
    expect((await send(gateway.port, github.path, endless)).status).toBe(200);
    expect((await send(gateway.port, slack.path, odd)).status).toBe(200);
    expect((await stored(github)).length).toBe(before + 2);
  });

  it('stores each of 200 concurrent deliveries once, whatever is doubled among them', async () => {
    const requests = Array.from({ length: 100 }, () => slackMention(slack.secret));
    const before = (await stored(slack)).length;
    const answers = await Promise.all(
      [...requests, ...requests].map((request) => send(gateway.port, slack.path, request)),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const after = await stored(slack);
    expect(after.length).toBe(before + 100);
    const found = await database.execute(
      sql`select count(*)::int as n from graphile_worker._private_jobs
          where payload->>'deliveryId' = any(${sql.raw(`array[${after.map(({ id }) => `'${id}'`).join(',')}]`)})`,
    );
    expect(found.rows[0]?.n).toBe(after.length);
  });

  it('lets two gateways that get the same deliveries at once store each once', async () => {
    const second = await startTestGateway({ url: await currentUrl(database), database });
    const requests = Array.from({ length: 60 }, () => slackMention(slack.secret));
    const before = (await stored(slack)).length;
    const answers = await Promise.all([
      ...requests.map((request) => send(gateway.port, slack.path, request)),
      ...[...requests].reverse().map((request) => send(second.port, slack.path, request)),
    ]);
    await second.close();
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect((await stored(slack)).length).toBe(before + 60);
  });

  describe('refuses alike, with 401 and one body, ', () => {
    const cases: [string, () => Promise<[string, ReturnType<typeof slackMention>]>][] = [
      ['an unknown publication', async () => ['/webhooks/slack/pub_0', slackMention(slack.secret)]],
      ['what is no id at all', async () => ["/webhooks/slack/';drop--%00", slackMention(slack.secret)]],
      ['a wrong signature', async () => [slack.path, slackMention('another secret')]],
      [
        'no signature',
        async () => [slack.path, { headers: { 'content-type': 'application/json' }, body: '{}' }],
      ],
      [
        'a changed body',
        async () => [slack.path, { ...slackMention(slack.secret), body: '{"type":"event_callback"}' }],
      ],
      [
        'one of yesterday',
        async () => [slack.path, slackMention(slack.secret, {}, new Date(Date.now() - 301_000))],
      ],
      [
        'one of tomorrow',
        async () => [slack.path, slackMention(slack.secret, {}, new Date(Date.now() + 301_000))],
      ],
      [
        'a publication of another provider',
        async () => [`/webhooks/github/${slack.id}`, signGithub(slack.secret, '{}')],
      ],
      [
        'an unpublished publication',
        async () => {
          const gone = await addPublication(gateway, 'slack', 'unpublished');
          return [gone.path, slackMention(gone.secret)];
        },
      ],
      [
        'a secret that has expired',
        async () => {
          const old = await addSecret(database, gateway.organizationId, slack.id, new Date(Date.now() - 1));
          return [slack.path, slackMention(old)];
        },
      ],
      [
        'garbage under a wrong signature',
        async () => [slack.path, { ...signSlack('another secret', Buffer.from([0xff, 0x00, 0xfe])) }],
      ],
    ];
    it.each(cases)('%s', async (_name, make) => {
      const [path, request] = await make();
      const answer = await send(gateway.port, path, request);
      const reference = await send(gateway.port, slack.path, slackMention('another secret'));
      expect(answer.status).toBe(401);
      expect(answer.body).toBe(reference.body);
      expect(Object.keys(answer.headers)).toEqual(Object.keys(reference.headers));
    });
  });

  it('honours the old and the new secret while one is replaced', async () => {
    const renewed = await addSecret(database, gateway.organizationId, slack.id);
    const leaving = await addSecret(
      database,
      gateway.organizationId,
      slack.id,
      new Date(Date.now() + 60_000),
    );
    for (const secret of [slack.secret, renewed, leaving]) {
      expect((await send(gateway.port, slack.path, slackMention(secret))).status).toBe(200);
    }
  });

  it.each(['pending_setup', 'credentials_filled', 'needs_reauth', 'suspended'] as const)(
    'stores what comes for a publication that is %s',
    async (state) => {
      const publication = await addPublication(gateway, 'slack', state);
      expect((await send(gateway.port, publication.path, slackMention(publication.secret))).status).toBe(200);
      expect(await stored(publication)).toHaveLength(1);
    },
  );

  it("answers Slack's url_verification, once it is verified, and stores nothing", async () => {
    const body = JSON.stringify({ type: 'url_verification', challenge: '3eZbrw1aB' });
    const before = (await stored(slack)).length;
    const answer = await send(gateway.port, slack.path, signSlack(slack.secret, body));
    expect(answer).toMatchObject({ status: 200, body: '3eZbrw1aB' });
    expect(answer.headers['content-type']).toBe('text/plain');
    expect((await send(gateway.port, slack.path, signSlack('wrong', body))).status).toBe(401);
    expect((await stored(slack)).length).toBe(before);
  });

  it.each(['', 'not json', '[]', '"text"', '\ufeff{', '{"unfinished":'])(
    'answers 400 to the verified but senseless %j',
    async (body) => {
      const answer = await send(gateway.port, slack.path, signSlack(slack.secret, body));
      expect(answer.status).toBe(400);
    },
  );

  it('answers 404, 405 and 415 where there is no door, no POST, or compression', async () => {
    expect((await send(gateway.port, '/webhooks/teams/pub_1')).status).toBe(404);
    expect((await send(gateway.port, '/webhooks/slack/')).status).toBe(404);
    const got = await send(gateway.port, slack.path, { method: 'GET' });
    expect(got.status).toBe(405);
    expect(got.headers.allow).toBe('POST');
    const { headers, body } = slackMention(slack.secret);
    const compressed = { headers: { ...headers, 'content-encoding': 'gzip' }, body };
    expect((await send(gateway.port, slack.path, compressed)).status).toBe(415);
  });

  describe('beyond a limit', () => {
    const tooLarge = Buffer.alloc(4 * 1024 * 1024 + 1, 0x20);
    const justRight = Buffer.from(`{"type":"event_callback","pad":"${'x'.repeat(4 * 1024 * 1024 - 34)}"}`);

    it('takes a body of exactly the limit', async () => {
      expect(justRight.length).toBe(4 * 1024 * 1024);
      expect((await send(gateway.port, slack.path, signSlack(slack.secret, justRight))).status).toBe(200);
    });

    it('answers 413 to a larger one, with a length and without', async () => {
      const whole = signSlack(slack.secret, tooLarge);
      expect((await send(gateway.port, slack.path, whole)).status).toBe(413);
      const chunked = { ...whole, headers: { ...whole.headers, 'transfer-encoding': 'chunked' } };
      expect((await send(gateway.port, slack.path, chunked)).status).toBe(413);
      expect(gateway.gateway.bytesInFlight).toBe(0);
    });

    it('answers 413 at once to an announced length, before the body comes', async () => {
      const head = `POST ${slack.path} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n`;
      expect(await firstLine(gateway.port, head)).toContain('413');
    });

    it("has each provider's own limit", async () => {
      const body = Buffer.from(`{"pad":"${'x'.repeat(6 * 1024 * 1024)}"}`);
      expect((await send(gateway.port, github.path, signGithub(github.secret, body))).status).toBe(200);
      const linearRequest = signLinear(linear.secret, { pad: 'x'.repeat(6 * 1024 * 1024) });
      expect((await send(gateway.port, linear.path, linearRequest)).status).toBe(413);
    });
  });

  it('is not shaken by clients that break off, nor keeps their bytes', async () => {
    const { headers, body } = slackMention(slack.secret);
    const head = `POST ${slack.path} HTTP/1.1\r\nhost: x\r\ncontent-type: ${headers['content-type']}\r\ncontent-length: 5000\r\n\r\n`;
    await Promise.all(
      Array.from(
        { length: 20 },
        () =>
          new Promise<void>((resolve) => {
            const socket = connect(gateway.port, '127.0.0.1', () => {
              socket.write(`${head}{"half":`, () => socket.destroy());
            });
            socket.on('close', () => resolve());
          }),
      ),
    );
    expect((await send(gateway.port, slack.path, { headers, body })).status).toBe(200);
    await expect.poll(() => gateway.gateway.bytesInFlight).toBe(0);
  });

  it('forgets a publication that is deleted while its delivery is on the way', async () => {
    const gone = await addPublication(gateway, 'slack');
    const slow = await startTestGateway(
      { url: await currentUrl(database), database },
      { webhookLimits: { secretsTtlMs: 60_000 } },
    );
    expect((await send(slow.port, gone.path, slackMention(gone.secret))).status).toBe(200);
    await database.delete(publications).where(eq(publications.id, gone.id));
    const [late, other] = await Promise.all([
      send(slow.port, gone.path, slackMention(gone.secret)),
      send(slow.port, slack.path, slackMention(slack.secret)),
    ]);
    await slow.close();
    expect(late.status).toBe(401);
    expect(other.status).toBe(200);
  });
});

describe('the webhook door under a flood', () => {
  it('bounds the bytes that it holds, answers 503 beyond, and still takes ordinary deliveries', async () => {
    const test = await createTestDatabase();
    const gateway = await startTestGateway(test, {
      webhookLimits: { maxBytesInFlight: 4_000_000, smallBytes: 100_000 },
    });
    const slack = await addPublication(gateway, 'slack');
    const sockets = await Promise.all(
      Array.from({ length: 3 }, () => holdOpen(gateway.port, slack.path, 3_000_000, 990_000)),
    );
    await expect.poll(() => gateway.gateway.bytesInFlight).toBeGreaterThan(2_900_000);
    const big = await send(gateway.port, slack.path, signSlack(slack.secret, Buffer.alloc(1_000_000, 0x20)));
    expect(big.status).toBe(503);
    expect(Number(big.headers['retry-after'])).toBeGreaterThan(0);
    expect((await send(gateway.port, slack.path, slackMention(slack.secret))).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => gateway.gateway.bytesInFlight).toBe(0);
    await gateway.close();
  });

  it('cuts off a body that does not come', async () => {
    const test = await createTestDatabase();
    const gateway = await startTestGateway(test, { requestTimeoutMs: 300 });
    const head = '/webhooks/slack/pub_1 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{';
    expect(await firstLine(gateway.port, `POST ${head}`)).toContain('408');
    await expect.poll(() => gateway.gateway.bytesInFlight).toBe(0);
    await gateway.close();
  });
});

async function currentUrl(database: Database): Promise<string> {
  const { connectionString } = database.$client.options;
  return connectionString ?? '';
}

function firstLine(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.once('data', (chunk) => {
      resolve(chunk.toString('latin1').split('\r\n')[0] ?? '');
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

function holdOpen(port: number, path: string, announced: number, sent: number) {
  return new Promise<ReturnType<typeof connect>>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${announced}\r\n\r\n`);
      socket.write(Buffer.alloc(sent, 0x20), () => resolve(socket));
    });
    socket.on('error', () => {});
  });
}
