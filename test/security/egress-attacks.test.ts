import { X509Certificate } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { publications } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import {
  type Door,
  exchangeInside,
  openSecureTunnel,
  openTunnel,
  rawExchange,
  readAll,
} from '../vault/support/client.ts';
import { startTestEgress, type TestEgress } from '../vault/support/egress.ts';
import { startUpstream, type Upstream } from '../vault/support/upstream.ts';

const host = 'api.example.com';
const broken = 'broken.example.com';
let database: Awaited<ReturnType<typeof createTestDatabase>>;
let world: TestEgress;
let upstream: Upstream;
let fixture: Fixture;
let door: Door;
let other: Door;
/** An upstream that sends these bytes to whoever asks, whatever they ask. */
let bytes: string | (() => string) = '';
let dialogues = 0;
let rawServer: Server;

beforeAll(async () => {
  database = await createTestDatabase();
  upstream = await startUpstream();
  rawServer = createServer((socket: Socket) => {
    dialogues++;
    socket.on('error', () => {});
    socket.on('data', () => {
      socket.write(Buffer.from(typeof bytes === 'string' ? bytes : bytes(), 'latin1'));
    });
  });
  await new Promise<void>((resolve) => rawServer.listen(0, '127.0.0.1', resolve));
  const raw = `http://127.0.0.1:${(rawServer.address() as AddressInfo).port}/`;
  world = await startTestEgress(database, {
    upstreams: [
      { host, pathPrefix: '/', target: `${upstream.origin}/`, scope: 'all' },
      { host: broken, pathPrefix: '/', target: raw, scope: 'all' },
    ],
  });
  fixture = await createFixture(database.database, { policy: { allowed_hosts: [host, broken] } });
  door = await world.open(fixture);
  other = await world.open(await createFixture(database.database, { policy: { allowed_hosts: [host] } }));
});
beforeEach(() => {
  upstream.seen.length = 0;
  dialogues = 0;
});
afterAll(() => {
  upstream.close();
  rawServer.close();
});

const get = (path = '/', more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`;
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
/** TLS in a fresh tunnel, with options of one's own. */
async function speakTls(to: Door, options: object): Promise<TLSSocket | Error> {
  const socket = await openTunnel(to.port, `${host}:443`);
  if (typeof socket === 'string') throw new Error(socket);
  return new Promise((resolve) => {
    const secure = connectTls({ socket, ca: to.ca, ...options }, () => resolve(secure));
    secure.once('error', resolve);
    secure.once('close', () => resolve(new Error('closed')));
  });
}
const stillServes = async () => expect(statusOf(await exchangeInside(other, host, get()))).toBe(200);

describe('a policy', () => {
  test.each([
    ['nothing', {}],
    ['an empty list', { allowed_hosts: [] }],
    ['no list', { allowed_hosts: 'api.example.com' }],
    ['a list of wrong things', { allowed_hosts: [7, null, { host: 'api.example.com' }, '*', ''] }],
  ])('with %s allows nothing', async (_, policy) => {
    const session = await createFixture(database.database, { policy: policy as Record<string, unknown> });
    const to = await world.open(session);
    expect(await rawExchange(to.port, `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 403 /,
    );
    expect(world.network.lookups).toEqual([]);
  });

  test('that changes while requests are under way is the old one or the new one, never an open one', async () => {
    const session = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
    const to = await world.open(session);
    const forbidden = async () =>
      statusOf(
        await rawExchange(
          to.port,
          'CONNECT evil.example.com:443 HTTP/1.1\r\nHost: evil.example.com:443\r\n\r\n',
        ),
      );
    const statuses: number[] = [];
    for (const policy of [{ allowed_hosts: [] }, {}, { allowed_hosts: 'x' }, { allowed_hosts: [host] }]) {
      await database.database
        .update(publications)
        .set({ policy })
        .where(eq(publications.id, session.publicationId));
      statuses.push(...(await Promise.all(Array.from({ length: 20 }, forbidden))));
    }
    expect(new Set(statuses)).toEqual(new Set([403]));
  });
});

describe('TLS', () => {
  test('without a name is answered for the host of the tunnel, and Host is checked all the same', async () => {
    const secure = await speakTls(door, { servername: '', checkServerIdentity: () => undefined });
    if (secure instanceof Error) throw secure;
    expect(new X509Certificate(secure.getPeerX509Certificate()?.raw ?? Buffer.alloc(0)).checkHost(host)).toBe(
      host,
    );
    secure.write(get().replace(host, 'evil.example.com'));
    expect(statusOf(await readAll(secure))).toBe(421);
    expect(upstream.seen).toEqual([]);
  });

  test.each([
    ['TLS 1.1', { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' }],
    ['no cipher in common', { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }],
  ])('with %s is refused, and others go on', async (_, options) => {
    expect(await speakTls(door, { servername: host, ...options })).toBeInstanceOf(Error);
    await stillServes();
  });

  test.each([
    ['a megabyte of noise', 'x'.repeat(1 << 20)],
    ['a record of the greatest length', `\x16\x03\x01\xff\xff${'\0'.repeat(70_000)}`],
    ['an alert', '\x15\x03\x01\x00\x02\x02\x28'],
    ['plain HTTP', get()],
  ])('that is %s ends its own connection only', async (_, noise) => {
    const socket = await openTunnel(door.port, `${host}:443`);
    if (typeof socket === 'string') throw new Error(socket);
    socket.write(Buffer.from(noise, 'latin1'));
    await readAll(socket);
    expect(upstream.seen).toEqual([]);
    await stillServes();
  });

  test('a ticket of one session is worth nothing to another', async () => {
    const ticketOf = async (to: Door) => {
      const secure = await speakTls(to, { servername: host });
      if (secure instanceof Error) throw secure;
      const ticket = new Promise<Buffer>((resolve) => secure.once('session', resolve));
      secure.write(get());
      await readAll(secure);
      return ticket;
    };
    const session = await ticketOf(door);
    const resumed = async (to: Door) => {
      const secure = await speakTls(to, { servername: host, session });
      if (secure instanceof Error) throw secure;
      const reused = secure.isSessionReused();
      secure.destroy();
      return reused;
    };
    expect(await resumed(door)).toBe(true);
    expect(await resumed(other)).toBe(false);
  });

  test('many names cost one session its own connections only', async () => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        rawExchange(
          door.port,
          `CONNECT n${n}.evil.example.com:443 HTTP/1.1\r\nHost: n${n}.evil.example.com:443\r\n\r\n`,
        ),
      ),
    );
    expect(new Set(answers.map(statusOf))).toEqual(new Set([403]));
    await stillServes();
  });
});

describe('a request in a tunnel', () => {
  test.each([
    [
      'an absolute form with another authority',
      `GET http://evil.example.com/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ],
    ['an absolute form with its own', `GET https://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
    [
      'userinfo in an absolute form',
      `GET https://${host}@evil.example.com/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ],
    ['a CONNECT of its own', 'CONNECT evil.example.com:443 HTTP/1.1\r\nHost: evil.example.com:443\r\n\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    [
      'an upgrade to h2c',
      get('/', 'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n').replace(
        'close',
        'Upgrade, HTTP2-Settings',
      ),
    ],
    ['no version at all', 'GET /\r\n\r\n'],
  ])('with %s is refused', async (_, sent) => {
    expect(statusOf(await exchangeInside(door, host, sent))).toBeGreaterThanOrEqual(400);
    expect(upstream.seen).toEqual([]);
  });

  test.each([
    ['a header of 32 KiB', get('/', `X: ${'x'.repeat(32 * 1024)}\r\n`)],
    ['two thousand headers', get('/', 'X: y\r\n'.repeat(2_000))],
    ['a URL of a megabyte', get(`/${'x'.repeat(1 << 20)}`)],
  ])('with %s is refused, and others go on', async (_, sent) => {
    expect(await exchangeInside(door, host, sent)).toMatch(/^(HTTP\/1\.1 431 |$)/);
    expect(upstream.seen).toEqual([]);
    await stillServes();
  });

  test('that never ends holds up nobody else', async () => {
    const secure = await openSecureTunnel(door, host);
    secure.write(`POST /slow HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 10\r\n\r\nab`);
    const head = await openSecureTunnel(door, host);
    head.write('GET /slow HTTP/1.1\r\nHos');
    await stillServes();
    expect(statusOf(await exchangeInside(door, host, get()))).toBe(200);
    secure.destroy();
    head.destroy();
  });
});

describe('an upstream that answers with', () => {
  const ok = 'HTTP/1.1 200 OK\r\n';
  const smuggled = `${ok}Content-Length: 8\r\n\r\nSMUGGLED`;
  test.each([
    ['two lengths', `${ok}Content-Length: 2\r\nContent-Length: 40\r\n\r\nhi`],
    [
      'a length and chunks',
      `${ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    ],
    ['a NUL in its status', 'HTTP/1.1 200\0 OK\r\nContent-Length: 2\r\n\r\nhi'],
    ['a NUL in a header', `${ok}X: a\0b\r\nContent-Length: 2\r\n\r\nhi`],
    ['a bare CR in a header', `${ok}X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi`],
    ['a header of 10 MB', `${ok}X: ${'x'.repeat(10 << 20)}\r\nContent-Length: 2\r\n\r\nhi`],
    ['no HTTP', 'SSH-2.0-OpenSSH_9\r\n'],
    ['HTTP/0.9', '<html>hi</html>'],
  ])('%s is not believed', async (_, answer) => {
    bytes = answer;
    const told = await exchangeInside(door, broken, get().replace(host, broken));
    expect(statusOf(told)).toBe(502);
    expect(told).not.toMatch(/Set-Cookie|127\.0\.0\.1/);
    await stillServes();
  });

  test('a second answer behind the first is never taken for the answer of another request', async () => {
    bytes = `${ok}Content-Length: 2\r\n\r\nhi${smuggled}`;
    const answers = [];
    for (let n = 0; n < 3; n++)
      answers.push(await exchangeInside(door, broken, get(`/${n}`).replace(host, broken)));
    expect(answers.join('')).not.toContain('SMUGGLED');
    // The connection is not used again.
    expect(dialogues).toBe(3);
  });

  test('early hints without end are not waited for without end', async () => {
    let sent = 0;
    bytes = () => {
      sent++;
      return 'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n'.repeat(2_000) + smuggled;
    };
    const told = await exchangeInside(door, broken, get().replace(host, broken));
    // All of them passed over or the answer refused; never one of them taken for the answer.
    expect([200, 502]).toContain(statusOf(told));
    expect(told.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(sent).toBe(1);
    await stillServes();
  });
});

test('the control channel and the platform’s door are not to be had through a session’s proxy', async () => {
  for (const target of ['localhost:443', 'tagalong.internal:22', 'platform.sock:443', '127.0.0.1:443']) {
    const answer = await rawExchange(door.port, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    expect(statusOf(answer), target).toBeGreaterThanOrEqual(400);
  }
  const socket = connectTcp(door.port, '127.0.0.1');
  socket.write('{"type":"openSession"}\n');
  expect(statusOf(await readAll(socket))).toBe(400);
});
