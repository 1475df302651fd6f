import { beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import type { Door } from './support/client.ts';
import { startTestEgress } from './support/egress.ts';
import { ask, connectHttp2, openHttp2Tunnel } from './support/http2-client.ts';
import {
  code,
  fields,
  flag,
  frame,
  indexed,
  type Outcome,
  preface,
  readFrames,
  request,
  settings,
  type,
  uint32,
} from './support/http2-frames.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const host = 'api.example.com';
let upstream: Upstream;
let door: Door;
let plain: Upstream['answer'];

beforeAll(async () => {
  const database = await createTestDatabase();
  upstream = await startUpstream();
  plain = upstream.answer;
  const fixture = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
  const world = await startTestEgress(database);
  world.network.names.set(host, ['93.184.216.34']);
  world.network.machines.set('93.184.216.34', upstream.port);
  door = await world.open(fixture);
});
beforeEach(() => {
  upstream.answer = plain;
});

const hello = Buffer.concat([preface, settings()]);
const { endHeaders, endStream } = flag;
const headers = (stream: number, flags = endHeaders | endStream, path = '/') =>
  frame(type.headers, flags, stream, fields(...request(host, [], path)));

/** Sends one piece after another for as long as the connection takes it; another connection is served meanwhile. */
async function flood(
  pieces: Iterable<Buffer>,
  until: (outcome: Outcome) => boolean = () => false,
): Promise<Outcome> {
  const other = await connectHttp2(door, host);
  const secure = await openHttp2Tunnel(door, host);
  const read = readFrames(secure, (outcome) => outcome.goaway !== undefined || until(outcome));
  let over = false;
  read.then(() => {
    over = true;
  });
  secure.write(hello);
  for (const piece of pieces) {
    if (over || secure.destroyed) break;
    if (!secure.write(piece)) {
      const drained = new Promise((resolve) => secure.once('drain', resolve));
      await Promise.race([drained, read]);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  const outcome = await read;
  secure.destroy();
  expect(await ask(other, { ':path': '/other' })).toMatchObject({ status: 200 });
  other.close();
  return outcome;
}

function* times(count: number, make: (i: number) => Buffer): Generator<Buffer> {
  for (let i = 0; i < count; i++) yield make(i);
}

test('requests that are taken back at once, again and again, end the connection', async () => {
  const asked = upstream.seen.length;
  const outcome = await flood(
    times(5_000, (i) =>
      Buffer.concat([headers(2 * i + 1), frame(type.reset, 0, 2 * i + 1, uint32(code.cancel))]),
    ),
  );
  expect(outcome.goaway === code.calm || outcome.goaway === code.internal || outcome.closed).toBe(true);
  expect(upstream.seen.length - asked).toBeLessThan(1_000);
});

test('headers without an end end the connection', async () => {
  const more = frame(type.continuation, 0, 1, fields(['x-a', 'b'.repeat(100)]));
  const outcome = await flood(times(5_000, (i) => (i === 0 ? headers(1, 0) : more)));
  expect(outcome.answered).toEqual(new Set());
});

test.each([
  ['PING', frame(type.ping, 0, 0, Buffer.alloc(8))],
  ['SETTINGS', settings([3, 100])],
])('a flood of %s ends the connection', async (_, piece) => {
  let sent = 0;
  const outcome = await flood(
    times(20_000, () => {
      sent += 1;
      return Buffer.concat(Array.from({ length: 10 }, () => piece));
    }),
  );
  expect(outcome.closed || outcome.goaway !== undefined).toBe(true);
  expect(sent).toBeLessThan(5_000);
});

test('a flood of empty DATA ends the connection', async () => {
  const empty = frame(type.data, 0, 1);
  const outcome = await flood(
    times(20_000, (i) => (i === 0 ? headers(1, endHeaders) : Buffer.concat(Array(20).fill(empty)))),
  );
  expect(outcome.closed || outcome.goaway !== undefined).toBe(true);
});

test('few bytes that unfold into many headers are refused', async () => {
  const entry = indexed('x-bomb', 'b'.repeat(3_900));
  const bomb = Buffer.concat([fields(...request(host)), entry, Buffer.alloc(150, 0x80 | 62)]);
  const outcome = await flood(
    [frame(type.headers, endHeaders | endStream, 1, bomb)],
    ({ resets, ended }) => resets.has(1) || ended.has(1),
  );
  expect(outcome.resets.get(1) === code.calm || outcome.text.includes('egress_refused')).toBe(true);
  expect(upstream.seen.some(({ headers: each }) => 'x-bomb' in each)).toBe(false);
});

test('too many headers and too large ones are refused', async () => {
  const session = await connectHttp2(door, host);
  const many = Object.fromEntries(Array.from({ length: 203 }, (_, i) => [`x-${i}`, '1']));
  const answer = await ask(session, many);
  expect(answer.status ?? answer.code).toSatisfy((said: number) => said === 431 || said === code.calm);
  const large = await ask(session, { 'x-large': 'b'.repeat(20_000) });
  // The upstream has a limit of its own, but is not to be asked.
  expect(large.code === code.calm || large.body.includes('egress_refused')).toBe(true);
  expect(await ask(session, {})).toMatchObject({ status: 200 });
  session.destroy();
});

test('more streams at once than allowed are refused, and a reader that takes nothing holds little', async () => {
  let written = 0;
  const piece = Buffer.alloc(65_536);
  const open: (() => void)[] = [];
  upstream.answer = (_request, response) => {
    const more = () => {
      if (response.destroyed) return;
      written += piece.byteLength;
      if (response.write(piece)) setImmediate(more);
      else response.once('drain', more);
    };
    open.push(() => response.destroy());
    more();
  };
  const secure = await openHttp2Tunnel(door, host);
  const refused = readFrames(secure, ({ resets }) => resets.size >= 20);
  // A window of nothing: no byte of a body may be sent.
  secure.write(Buffer.concat([preface, settings([4, 0])]));
  for (let i = 0; i < 120; i++) secure.write(headers(2 * i + 1, endHeaders | endStream, `/stall/${i}`));
  const { resets, goaway } = await refused;
  expect(goaway).toBeUndefined();
  expect([...new Set(resets.values())]).toEqual([code.refused]);
  await expect.poll(() => open.length, { timeout: 10_000 }).toBe(64);
  let before = -1;
  await expect
    .poll(
      () => {
        const grew = written - before;
        before = written;
        return grew;
      },
      { interval: 200, timeout: 20_000 },
    )
    .toBe(0);
  // Buffers of two sockets and of the streams between, not the whole.
  expect(written / open.length).toBeLessThan(16 * 1024 * 1024);
  upstream.answer = plain;
  secure.destroy();
  for (const end of open) end();
  const session = await connectHttp2(door, host);
  expect(await ask(session, {})).toMatchObject({ status: 200 });
  session.close();
});
