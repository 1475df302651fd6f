import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort, type Provider } from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import {
  key,
  openDatabase,
  repliesWith,
  saidLater,
  sendSigned,
  speak,
  type Told,
  toldOf,
} from './signed-deliveries.ts';

const sides = ['slack', 'github'] as const satisfies Provider[];
type Side = (typeof sides)[number];
const perHour = 3;

let server: TestServer;
let database: pg.Client;
let start: () => Promise<void>;
const publications = {} as Record<Side, string>;

beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
  const env = { PORT: String(await freePort()) };
  start = async () => {
    server = await startServer({ home, env, ...(server ? { apiKey: server.apiKey } : {}) });
    database = await openDatabase(server);
  };
  await start();
  const { data } = await server.api<{ data: { id: string; provider: Provider }[] }>('/v1/publications');
  for (const side of sides) {
    publications[side] = data.find(({ provider }) => provider === side)?.id ?? expect.fail(side);
    const path = `/v1/publications/${publications[side]}`;
    await server.api(`${path}/webhook_secret`, { webhook_secret: key });
    const authority = { bots: 'allow', max_hops: 20, bot_messages_per_hour: perHour };
    await server.api(path, { policy: { authority } });
  }
}, 90_000);
afterAll(async () => {
  await database?.end();
  await cleanUp(server);
});

/** The same words as a bridge writes them that carries what is said on one side to the other. */
function bridged({ body, event }: Told): Told {
  const bot = { id: 990_001, login: 'bridge[bot]', type: 'Bot' };
  const carried = structuredClone(body);
  if (carried.event)
    Object.assign(carried.event, { bot_id: 'B0BRIDGE', user: null, client_msg_id: undefined });
  if (carried.comment) Object.assign(carried.comment, { user: bot });
  return { body: carried.comment ? { ...carried, sender: bot } : carried, event };
}

/** How the first delivery with these words was settled, by one call; the answer comes back in later ones. */
async function settledWith(side: Side, words: string) {
  const id = await eventually(
    async () => {
      const { rows } = await database.query<{ id: string }>(
        `select id from deliveries where publication_id = $1 and position($2::bytea in body) > 0
       and outcome <> 'pending' order by id limit 1`,
        [publications[side], Buffer.from(words)],
      );
      return rows[0]?.id;
    },
    `a settled delivery with ${words}:\n${server.output().slice(-2_000)}`,
  );
  const { outcome } = await server.api<{ outcome: { kind: string; reason?: string; message: string } }>(
    `/v1/deliveries/${id}`,
  );
  return outcome;
}

it('two agents at two providers that answer each other over a bridge stop at the limit, which a restart does not reset', async () => {
  const places = {} as Record<Side, Told>;
  for (const side of sides) {
    await speak(server, side, 'ada', `run \`echo ${side}-begins\``);
    await eventually(async () => (await repliesWith(database, `${side}-begins`)) === 1, 'the first answer');
    places[side] = await toldOf(database, publications[side], `${side}-begins`);
  }
  let n = 0;
  /** Carries what was said last to a side, and waits for the answer. Answers how it was settled. */
  const carryTo = async (side: Side) => {
    n += 1;
    const words = `carried-${n}-over`;
    expect(
      await sendSigned(
        server,
        side,
        publications[side],
        bridged(saidLater(places[side], n, `run \`echo ${words}\``)),
      ),
    ).toBe(200);
    const outcome = await settledWith(side, words);
    if (outcome.kind === 'routed') {
      await eventually(
        async () => (await repliesWith(database, words)) === 1,
        () => `an answer with ${words}:\n${server.output().slice(-2_000)}`,
      );
    }
    return outcome;
  };

  const outcomes: string[] = [];
  for (let turn = 0; turn < 20 && outcomes.at(-1) !== 'limit_reached'; turn++) {
    const { kind, reason } = await carryTo(sides[turn % 2] ?? 'slack');
    outcomes.push(kind === 'routed' ? 'routed' : (reason ?? ''));
  }
  expect(outcomes).toEqual([...Array(2 * perHour).fill('routed'), 'limit_reached']);

  await database.end();
  await server.kill();
  await start();
  for (const side of sides) {
    const outcome = await carryTo(side);
    expect(outcome).toMatchObject({ kind: 'ignored', reason: 'limit_reached' });
    expect(outcome.message).toMatch(/more often than its limit.*this bot was answered 3 times here/);
  }
});
