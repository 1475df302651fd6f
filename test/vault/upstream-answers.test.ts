import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { forwardedTrailers } from '../../src/vault/egress/header-rules.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { type Door, exchangeInside, openSecureTunnel, readAll } from './support/client.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { ask, connectHttp2 } from './support/http2-client.ts';

const host = 'api.example.com';
let fixture: Fixture;
let world: TestEgress;
let door: Door;
/** What the upstream says on a connection to each request, byte for byte. */
let say: (socket: Socket, count: number) => unknown;
let spoilt: Socket | undefined;
let reused = 0;
let heads = '';
const server = createServer((socket) => {
  let count = 0;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    heads += chunk.toString('latin1');
    for (const _ of chunk.toString('latin1').matchAll(/\r\n\r\n/g)) {
      count += 1;
      if (socket === spoilt) reused += 1;
      say(socket, count);
    }
  });
});

beforeAll(async () => {
  const database = await createTestDatabase();
  fixture = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
  world = await startTestEgress(database);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  world.network.names.set(host, ['93.184.216.34']);
  world.network.machines.set('93.184.216.34', (server.address() as AddressInfo).port);
  door = await world.open(fixture);
});
afterAll(() => server.close());
beforeEach(() => {
  spoilt = undefined;
  reused = 0;
  heads = '';
});

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('an answer that two readers could read as two', () => {
  test.each<[string, string]>([
    [
      'length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nevil!'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nevil'],
    ['a length beyond all numbers', 'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nevil'],
    ['NUL after the status', 'HTTP/1.1 200\0 OK\r\nContent-Length: 4\r\n\r\nevil'],
    ['no status', 'HTTP/1.1 abc OK\r\nContent-Length: 4\r\n\r\nevil'],
    ['another version', 'HTTP/9.9 200 OK\r\nContent-Length: 4\r\n\r\nevil'],
    ['a folded header', 'HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 4\r\n\r\nevil'],
    ['NUL in a header', 'HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 4\r\n\r\nevil'],
    ['a bare line end in a header', 'HTTP/1.1 200 OK\r\nX-A: b\rc: d\r\nContent-Length: 4\r\n\r\nevil'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nevil'],
    ['an empty name', 'HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 4\r\n\r\nevil'],
    ['a header of 10 MB', `HTTP/1.1 200 OK\r\nX-A: ${'b'.repeat(10_000_000)}\r\n\r\nevil`],
    ['endless headers', `HTTP/1.1 200 OK\r\n${'X-A: b\r\n'.repeat(200_000)}\r\nevil`],
    ['no HTTP at all', 'evil\r\n\r\n'],
    [
      'a switch of protocols nobody asked for',
      'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nevil',
    ],
  ])('%s is a 502, and the connection is not used again', async (_, bytes) => {
    say = (socket) => {
      spoilt = socket;
      socket.write(Buffer.from(bytes, 'latin1'));
    };
    const answer = await exchangeInside(door, host, get('/bad'));
    expect(answer).toMatch(/^HTTP\/1\.1 502 /);
    expect(answer).not.toContain('evil');
    expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
      decision: 'failed',
      status: 502,
    });
    say = (socket) => socket.write(ok);
    const session = await connectHttp2(door, host);
    expect(await ask(session, { ':path': '/next' })).toMatchObject({ status: 200, body: 'ok' });
    session.close();
    expect(reused).toBe(0);
  });

  test.each<[string, string]>([
    ['a chunk size that is none', '5x\r\nevil!\r\n0\r\n\r\n'],
    ['a chunk without its end', '2\r\nokevil\r\n0\r\n\r\n'],
    ['a negative chunk', '-2\r\nok\r\n0\r\n\r\n'],
  ])('%s cuts the answer, and it looks cut', async (_, body) => {
    say = (socket) => {
      spoilt = socket;
      socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
    };
    const answer = await exchangeInside(door, host, get('/cut'));
    expect(answer).not.toMatch(/0\r\n\r\n$/);
    say = (socket) => socket.write(ok);
    expect(await exchangeInside(door, host, get('/next'))).toMatch(/ok$/);
    expect(reused).toBe(0);
  });

  test('of two answers to one request the second is nobody’s', async () => {
    say = (socket, count) => {
      socket.write(count === 1 ? `${ok}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil` : ok);
    };
    for (const path of ['/1', '/2', '/3']) {
      const answer = await exchangeInside(door, host, get(path));
      expect(answer).toMatch(/ok$/);
      expect(answer).not.toContain('evil');
    }
  });

  test('bytes after the body are nobody’s either', async () => {
    say = (socket) => socket.write(`${ok}evil`);
    for (const path of ['/1', '/2']) expect(await exchangeInside(door, host, get(path))).toMatch(/ok$/);
  });

  test('a lower status cannot end a request early, and many of them are bounded', async () => {
    say = (socket) =>
      socket.write(`HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n${ok}`);
    expect(await exchangeInside(door, host, get('/early'))).toMatch(/^HTTP\/1\.1 200 [\s\S]*ok$/);
    let sent = 0;
    say = (socket) => {
      const more = () => {
        if (socket.destroyed || sent > 200_000) return;
        sent += 100;
        const on = socket.write('HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n'.repeat(100));
        if (on) setImmediate(more);
        else socket.once('drain', more);
      };
      more();
    };
    const answer = await exchangeInside(door, host, get('/flood'));
    expect(answer).toMatch(/^HTTP\/1\.1 502 [\s\S]*upstream\./);
    expect(sent).toBeLessThan(200_000);
  });
});

test('odd answers come over HTTP/2 as they do over HTTP/1.1', async () => {
  const session = await connectHttp2(door, host);
  const head = 'Content-Type: a\r\nContent-Type: b\r\nSet-Cookie: c=1\r\nSet-Cookie: d=2\r\nX-Old: \xe4\r\n';
  const more =
    'Connection: X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 1\r\nUpgrade: h2\r\nEtag: "1"\r\nEtag: "2"\r\n';
  for (const status of [200, 299, 404, 599]) {
    say = (socket) =>
      socket.write(
        Buffer.from(`HTTP/1.1 ${status} X\r\n${head}${more}Content-Length: 2\r\n\r\nok`, 'latin1'),
      );
    const answer = await ask(session, { ':path': `/${status}` });
    expect(answer).toMatchObject({ status, body: 'ok', code: 0 });
    expect(answer.headers['set-cookie']).toEqual(['c=1', 'd=2']);
    expect(answer.headers['x-old']).toBe('\xe4');
    expect(Object.keys(answer.headers)).not.toEqual(expect.arrayContaining(['x-gone']));
    expect(Object.keys(answer.headers)).not.toEqual(expect.arrayContaining(['upgrade']));
  }
  // HTTP/2 in Node knows no status beyond 599.
  say = (socket) => socket.write('HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok');
  expect(await ask(session, {})).toMatchObject({ status: 502 });
  session.close();
});

describe('bodies on their way', () => {
  test('an upstream that answers early and closes is quoted', async () => {
    say = (socket) => {
      socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig');
      setTimeout(() => socket.end(), 50);
    };
    const secure = await openSecureTunnel(door, host);
    const answered = readAll(secure, (text) => text.endsWith('big'));
    secure.write(`PUT /early HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000000\r\n\r\n`);
    secure.write(Buffer.alloc(100_000));
    expect(await answered).toMatch(/^HTTP\/1\.1 413 [\s\S]*big$/);
    secure.destroy();
  });

  test('a client that waits to be told is told once, only when the body is wanted', async () => {
    say = (socket) => socket.write(ok);
    const secure = await openSecureTunnel(door, host);
    secure.write(`PUT /up HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n`);
    expect(await readAll(secure, (text) => text.includes('100 Continue'))).toMatch(/^HTTP\/1\.1 100/);
    const rest = readAll(secure, (text) => text.endsWith('ok'));
    secure.write('body');
    expect(await rest).not.toContain('100 Continue');
    expect(heads).not.toMatch(/expect/i);
    secure.destroy();
    const refused = await exchangeInside(
      door,
      host,
      `PUT /up HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nExpect: 200-ok\r\nConnection: close\r\n\r\n`,
    );
    expect(refused).toMatch(/^HTTP\/1\.1 417 /);
  });

  test('what frames, routes or proves who somebody is has no place after a body', () => {
    const trailers = {
      ...{ 'grpc-status': '0', 'x-sum': 'secret', 'Content-Length': '1', transfer_encoding: 'chunked' },
      ...{
        Authorization: 'a',
        'proxy-authorization': 'a',
        'X-Api-Key': 'a',
        host: 'a',
        te: 'a',
        trailer: 'a',
      },
      ...{ 'set-cookie': ['a'], 'content-type': 'a', 'x-forwarded-for': 'a', 'x-tagalong-session': 'a' },
      many: ['1', '2'],
    };
    expect(forwardedTrailers(trailers, (value) => value.replace('secret', '******'))).toEqual([
      ['grpc-status', '0'],
      ['x-sum', '******'],
      ['many', '1'],
      ['many', '2'],
    ]);
  });

  test('trailers of an answer come through cleaned', async () => {
    say = (socket) => {
      socket.write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nAuthorization: evil\r\nHost: evil\r\nSet-Cookie: evil\r\nX-Tagalong-Egress: evil\r\n\r\n',
      );
    };
    const answer = await exchangeInside(
      door,
      host,
      `POST /t HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    );
    expect(answer).toMatch(/2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n$/i);
    expect(answer).not.toContain('evil');
    const session = await connectHttp2(door, host);
    expect(Object.entries((await ask(session, {})).trailers)).toEqual([['x-sum', '7']]);
    session.close();
  });
});
