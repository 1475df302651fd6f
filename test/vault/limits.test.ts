import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaults, type EgressLimits } from '../../src/config.ts';
import { SessionLimits } from '../../src/vault/egress/limits.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { type Door, exchangeInside, openSecureTunnel, openTunnel, readAll } from './support/client.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const host = 'files.example.com';
const get = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

/** What a CONNECT is refused with; nothing when it is let through. */
async function answerTo(door: Door): Promise<string> {
  const answer = await openTunnel(door.port, `${host}:443`);
  if (typeof answer === 'string') return answer;
  answer.destroy();
  return '';
}

describe('what one session may use, counted', () => {
  let now = 1_000_000;
  const limits = (more: Partial<EgressLimits>) =>
    new SessionLimits({ ...defaults.egress, ...more }, () => now);

  it('lets twice a second’s requests in at once, and then as many per second', () => {
    const counted = limits({ maxRequestsPerSecond: 10 });
    const enter = () => {
      const refusal = counted.enter();
      if (!refusal) counted.leave();
      return refusal?.rule;
    };
    expect(Array.from({ length: 25 }, enter).filter((rule) => rule === undefined)).toHaveLength(20);
    now += 500;
    expect(Array.from({ length: 25 }, enter).filter((rule) => rule === undefined)).toHaveLength(5);
    expect(enter()).toBe('limit.requests_per_second');
    now -= 60_000;
    expect(enter()).toBe('limit.requests_per_second');
    now += 3_600_000;
    expect(Array.from({ length: 25 }, enter).filter((rule) => rule === undefined)).toHaveLength(20);
  });

  it('gives bytes back when their hour is over, and says when', () => {
    const counted = limits({ maxMibUpPerHour: 1, maxMibDownPerHour: 2 });
    counted.passed(0, 2 * 1024 * 1024 - 1);
    expect(counted.bytesRefusal()).toBeUndefined();
    now += 600_000;
    counted.passed(0, 1);
    expect(counted.enter()).toMatchObject({
      status: 429,
      rule: 'limit.bytes_down',
      retryAfterSeconds: 3_000,
    });
    now += 3_000_000;
    expect(counted.enter()).toBeUndefined();
    counted.passed(1024 * 1024, 0);
    expect(counted.bytesRefusal()).toMatchObject({ rule: 'limit.bytes_up', retryAfterSeconds: 3_600 });
  });
});

describe('what one session may use, at the proxy', () => {
  let database: TestDatabase;
  let upstream: Upstream;
  let fixture: Fixture;

  beforeAll(async () => {
    database = await createTestDatabase();
    upstream = await startUpstream();
    fixture = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
    return () => upstream.close();
  });
  beforeEach(() => {
    upstream.answer = (_request, response) => response.end('{"ok":true}');
  });

  async function enter(
    limits: Partial<EgressLimits>,
    target = upstream.origin,
    now = Date.now,
  ): Promise<{ world: TestEgress; door: Door }> {
    const upstreams = [{ host, pathPrefix: '/', target, scope: 'all' as const }];
    const start = { upstreams, limits: { ...defaults.egress, ...limits } };
    const world = await startTestEgress(database, start, { now });
    return { world, door: await world.open(fixture) };
  }

  it('refuses a connection too many, and lets one in when another has ended', async () => {
    const { world, door } = await enter({ maxConnections: 2 });
    const first = await openTunnel(door.port, `${host}:443`);
    const second = await openTunnel(door.port, `${host}:443`);
    const third = await openTunnel(door.port, `${host}:443`);
    expect(third).toMatch(/^HTTP\/1\.1 429 Egress refused: limit\.connections\r\n/);
    expect(third).toContain('retry-after: 1');
    expect(third).toContain('A session may have 2 connections at once.');
    (first as Socket).destroy();
    await expect
      .poll(async () => typeof (await openTunnel(door.port, `${host}:443`)), { timeout: 20_000 })
      .toBe('object');
    (second as Socket).destroy();
    expect((await world.records(fixture.sessionId)).map(({ rule }) => rule)).toContain('limit.connections');
  });

  it('refuses connections that come too fast', async () => {
    const { door } = await enter({ maxConnectionsPerSecond: 1 });
    const opened = [];
    for (let i = 0; i < 6; i++) opened.push(await openTunnel(door.port, `${host}:443`));
    expect(opened.filter((socket) => typeof socket === 'object').length).toBeGreaterThanOrEqual(2);
    expect(opened.filter((socket) => typeof socket === 'string').join()).toContain(
      'limit.connections_per_second',
    );
    for (const socket of opened) if (typeof socket === 'object') socket.destroy();
  });

  it('refuses a request too many at once, and ends its connection', async () => {
    const { door } = await enter({ maxRequests: 1 });
    const waiting: (() => void)[] = [];
    upstream.answer = (_request, response) => waiting.push(() => response.end('late'));
    const first = exchangeInside(door, host, get('/first'), (text) => text.includes('late'));
    await expect.poll(() => waiting.length, { timeout: 20_000 }).toBe(1);
    expect(await exchangeInside(door, host, get('/second') + get('/third'))).toMatch(
      /^HTTP\/1\.1 429[\s\S]*limit\.requests"[\s\S]*\}\}$/,
    );
    waiting[0]?.();
    expect(await first).toContain('late');
    const after = exchangeInside(door, host, get('/after'), (text) => text.includes('late'));
    await expect.poll(() => waiting.length, { timeout: 20_000 }).toBe(2);
    waiting[1]?.();
    await after;
  });

  it('ends a flood with 429, records it once a second, and another session is always answered', async () => {
    const { world, door } = await enter({ maxRequestsPerSecond: 20, maxConnectionsPerSecond: 50 });
    const calm = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
    const calmDoor = await world.open(calm);
    let isFlooding = true;
    const flooded: string[] = [];
    const before = (await world.records(fixture.sessionId)).length;
    const flood = async () => {
      while (isFlooding) {
        const answer = await exchangeInside(door, host, get('/flood').repeat(50)).catch((error) =>
          String(error),
        );
        flooded.push(answer);
      }
    };
    const floods = Array.from({ length: 8 }, flood);
    const steady = await openSecureTunnel(calmDoor, host);
    steady.setMaxListeners(100);
    for (let i = 0; i < 30; i++) {
      steady.write(get(`/steady/${i}`));
      expect(await readAll(steady, (text) => text.includes('{"ok":true}'))).toMatch(/^HTTP\/1\.1 200/);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    steady.destroy();
    isFlooding = false;
    await Promise.all(floods);
    expect(flooded.join()).toContain('"rule":"limit.requests_per_second"');
    expect(flooded.join()).toMatch(/retry-after: 1/i);
    const records = (await world.records(fixture.sessionId)).slice(before);
    const limited = records.filter(({ rule }) => rule === 'limit.requests_per_second');
    const seconds = new Set(limited.map(({ at }) => Math.floor(at.getTime() / 1000)));
    expect(limited.length).toBeGreaterThan(0);
    expect(limited.length).toBeLessThanOrEqual(seconds.size + 1);
    expect((await world.records(calm.sessionId)).filter(({ status }) => status !== 200)).toEqual([]);
  });

  it('who asks for little is not behind all that another session asks for in masses', async () => {
    // The clock stands still: nobody has to have its policy read anew in between.
    const at = Date.now();
    const limits = { maxConnectionsPerSecond: 1_000, maxRequestsPerSecond: 1_000 };
    const { world, door } = await enter(limits, upstream.origin, () => at);
    const calmDoor = await world.open(
      await createFixture(database.database, { policy: { allowed_hosts: [host] } }),
    );
    const masses = await Promise.all(Array.from({ length: 64 }, () => openSecureTunnel(door, host)));
    const calm = await openSecureTunnel(calmDoor, host);
    const all = [...masses, calm];
    const order: string[] = [];
    upstream.answer = (request, response) => {
      order.push(request.url ?? '');
      response.end('{"ok":true}');
    };
    // With connections to the upstream for all of them.
    for (const socket of all) socket.on('error', () => {}).write(get('/first'));
    await expect.poll(() => order.length, { timeout: 20_000 }).toBe(all.length);
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const socket of masses) socket.write(get('/masses').repeat(3));
    calm.write(get('/calm'));
    await expect.poll(() => order.length, { timeout: 20_000 }).toBe(all.length * 2 + 64 * 2);
    expect(order.indexOf('/calm') - all.length).toBeLessThan(50);
    for (const socket of all) socket.destroy();
  });

  it('lets the bodies of one session wait while another asks, down and up', async () => {
    const big = 24 * 1024 * 1024;
    let up = 0;
    const server = createServer((request, response) => {
      request.on('data', (chunk: Buffer) => {
        up += chunk.byteLength;
      });
      if (request.method === 'GET') response.end(request.url === '/big' ? Buffer.alloc(big) : '{"ok":true}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { world, door } = await enter({}, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const calmDoor = await world.open(
      await createFixture(database.database, { policy: { allowed_hosts: [host] } }),
    );
    const calm = await openSecureTunnel(calmDoor, host);
    calm.setMaxListeners(100);
    const ask = async () => {
      calm.write(get('/calm'));
      await readAll(calm, (text) => text.includes('{"ok":true}'));
    };
    await ask();
    const masses = await Promise.all(Array.from({ length: 16 }, () => openSecureTunnel(door, host)));
    let down = 0;
    for (const [i, socket] of masses.entries()) {
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        down += chunk.byteLength;
      });
      if (i % 2 === 0) {
        socket.write(get('/big'));
        continue;
      }
      socket.write(`PUT /up HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${big * 10}\r\n\r\n`);
      const feed = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536)));
      };
      socket.on('drain', feed);
      feed();
    }
    await expect.poll(() => Math.min(up, down), { timeout: 20_000, interval: 1 }).toBeGreaterThan(0);
    const moved: number[] = [];
    for (let i = 0; i < 15; i++) {
      const before = up + down;
      await ask();
      moved.push(up + down - before);
    }
    for (const socket of masses) socket.destroy();
    moved.sort((a, b) => a - b);
    // Of all that there is: a piece or two, not some of each.
    expect(moved[7]).toBeLessThan(1024 * 1024);
    calm.destroy();
    server.close();
    server.closeAllConnections();
  });

  it('tells those who come too fast after a while, so that they do not come back at once', async () => {
    const { world, door } = await enter({ maxConnectionsPerSecond: 1 });
    const started = performance.now();
    const opened = await Promise.all(Array.from({ length: 20 }, () => openTunnel(door.port, `${host}:443`)));
    const refused = opened.filter((answer) => typeof answer === 'string');
    expect(refused.length).toBeGreaterThan(10);
    for (const answer of refused)
      expect(answer).toMatch(/^HTTP\/1\.1 429[\s\S]*limit\.connections_per_second/);
    expect(performance.now() - started).toBeGreaterThan(900);
    for (const socket of opened) if (typeof socket === 'object') socket.destroy();
    expect((await world.records(fixture.sessionId)).map(({ rule }) => rule)).toContain(
      'limit.connections_per_second',
    );
  });

  it('cuts what goes beyond the bytes of the hour, up or down', async () => {
    upstream.answer = (_request, response) => response.end(Buffer.alloc(8 * 1024 * 1024));
    const { world, door } = await enter({ maxMibDownPerHour: 2 });
    const got = await exchangeInside(door, host, get('/big'));
    expect(got.length).toBeGreaterThan(1024 * 1024);
    await expect
      .poll(() => answerTo(door), { timeout: 20_000 })
      .toMatch(/429 Egress refused: limit\.bytes_down[\s\S]*retry-after: \d{3,4}\r\n/);
    expect((await world.records(fixture.sessionId)).map(({ rule }) => rule)).toContain('limit.bytes_down');

    const up = await enter({ maxMibUpPerHour: 2 });
    const socket: Socket = await openSecureTunnel(up.door, host);
    socket.write(`PUT / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000000\r\n\r\n`);
    const feed = () => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536)));
    };
    socket.on('drain', feed);
    feed();
    await readAll(socket);
    await expect.poll(() => answerTo(up.door), { timeout: 20_000 }).toContain('limit.bytes_up');
  });

  it('does not wait for ever for an upstream to begin, or to go on', async () => {
    const { world, door } = await enter({ firstByteTimeoutSeconds: 1, idleTimeoutSeconds: 1 });
    upstream.answer = () => {};
    expect(await exchangeInside(door, host, get('/silent'), (text) => text.includes('}}'))).toMatch(
      /^HTTP\/1\.1 504[\s\S]*limit\.first_byte/,
    );
    upstream.answer = (_request, response) => response.write('half');
    expect(await exchangeInside(door, host, get('/half'))).toContain('half');
    await expect
      .poll(async () => (await world.records(fixture.sessionId)).at(-1), { timeout: 20_000 })
      .toMatchObject({ path: '/half', decision: 'failed', rule: `host:${host} cut:limit.idle` });
  });

  it('does not wait for ever for a body that was announced', async () => {
    const { door } = await enter({ idleTimeoutSeconds: 1 });
    const request = `PUT / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 10\r\n\r\nhalf`;
    expect(await exchangeInside(door, host, request)).toMatch(/^HTTP\/1\.1 408[\s\S]*limit\.idle/);
  });

  it('gives up a client that takes nothing of its answer, and not one that takes it slowly', async () => {
    const { world, door } = await enter({ idleTimeoutSeconds: 1 });
    const big = 24 * 1024 * 1024;
    const closed = Promise.withResolvers<boolean>();
    upstream.answer = (request, response) => {
      if (request.url === '/never') response.once('close', () => closed.resolve(response.writableFinished));
      response.end(Buffer.alloc(big));
    };
    const never = await openSecureTunnel(door, host);
    never.pause();
    never.write(get('/never'));
    const slow = await openSecureTunnel(door, host);
    slow.write(get('/slow').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    let read = 0;
    const started = performance.now();
    await new Promise<void>((resolve) => {
      slow.on('data', (chunk: Buffer) => {
        read += chunk.byteLength;
        if (read % (1024 * 1024) > chunk.byteLength) return;
        slow.pause();
        setTimeout(() => slow.resume(), 150);
      });
      slow.once('end', resolve);
    });
    expect(performance.now() - started).toBeGreaterThan(3_000);
    expect(read).toBeGreaterThan(big);
    expect(await closed.promise).toBe(false);
    const rules = async () =>
      Object.fromEntries((await world.records(fixture.sessionId)).map(({ path, rule }) => [path, rule]));
    await expect
      .poll(rules, { timeout: 20_000 })
      .toMatchObject({ '/never': `host:${host} cut:limit.idle`, '/slow': `host:${host}` });
    never.resume();
    await new Promise((resolve) => never.once('close', resolve));
  });

  it('answers a slow reader and a fast one beside it', async () => {
    const { door } = await enter({});
    const big = 64 * 1024 * 1024;
    upstream.answer = (request, response) =>
      response.end(request.url === '/big' ? Buffer.alloc(big) : '{"ok":true}');
    const slow = await openSecureTunnel(door, host);
    slow.pause();
    slow.write(get('/big'));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 20; i++) {
      expect(await exchangeInside(door, host, get('/small'), (text) => text.includes('ok'))).toContain('200');
    }
    // What the slow one does not read stays with its upstream.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(big / 4);
    slow.destroy();
  });
});
