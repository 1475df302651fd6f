import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { Http1Pool } from '../../src/vault/egress/http1-pool.ts';
import { askUpstream } from './support/ask-upstream.ts';

const opened: (() => void)[] = [];
afterEach(() => {
  for (const close of opened.splice(0)) close();
});

/** A pool before a server that answers in bytes. `answer` gets each connection's number and all that it has said so far. */
async function poolTo(
  answer: (said: string, socket: Socket, connection: number) => void,
  maxConnections = 64,
): Promise<{ pool: Http1Pool; connections: () => number }> {
  let connections = 0;
  const server = createServer((socket) => {
    const connection = connections++;
    let said = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      said += chunk.toString('latin1');
      answer(said, socket, connection);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const pool = new Http1Pool({
    authority: 'api.example.com',
    maxConnections,
    maxHeaderBytes: 1_000,
    dial: () =>
      new Promise((resolve, reject) => {
        const socket = connect({ port, host: '127.0.0.1' });
        socket.once('error', reject);
        socket.once('connect', () => {
          socket.off('error', reject);
          resolve(socket);
        });
      }),
  });
  opened.push(() => {
    pool.destroy();
    server.close();
  });
  return { pool, connections: () => connections };
}

const ok = (body: string, more = '') =>
  `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${more}\r\n${body}`;
const requestsIn = (said: string) => said.split('\r\n\r\n').length - 1;

test('each answer goes to the request that asked for it, and no more connections are made than may be', async () => {
  const { pool, connections } = await poolTo((said, socket) => {
    if (!said.endsWith('\r\n\r\n')) return;
    const path = said.trimEnd().split('\r\n\r\n').at(-1)?.split(' ')[1] ?? '';
    setTimeout(() => socket.write(ok(path)), path.length % 3);
  }, 4);
  const paths = Array.from({ length: 100 }, (_, i) => `/${'x'.repeat(i % 7)}${i}`);
  const answers = await Promise.all(paths.map((path) => askUpstream(pool, { path })));
  expect(answers.map(({ body }) => body)).toEqual(paths);
  expect(connections()).toBe(4);
});

test.each([
  ['more than the answer', `${ok('abc', '')}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`, 2],
  ['connection: close', ok('abc', 'connection: close\r\n'), 2],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc', 2],
  ['HTTP/1.0 that is kept', 'HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc', 1],
  [
    'chunks',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\nt: u\r\n\r\n',
    1,
  ],
  ['answers before the answer', `HTTP/1.1 103 Hints\r\na: b\r\n\r\nHTTP/1.1 100 Go\r\n\r\n${ok('abc')}`, 1],
  ['no time to be kept', ok('abc', 'keep-alive: timeout=1\r\n'), 2],
])('after %s the next request goes over a connection that can be trusted', async (_what, answer, wanted) => {
  const { pool, connections } = await poolTo((said, socket) => {
    if (said.endsWith('\r\n\r\n')) socket.write(answer, 'latin1');
  });
  for (let i = 0; i < 2; i++) {
    expect(await askUpstream(pool, {})).toMatchObject({ status: 200, body: 'abc' });
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(connections()).toBe(wanted);
});

test('an answer is the same in single bytes', async () => {
  const answer =
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\nt: u\r\n\r\n';
  const { pool } = await poolTo(async (said, socket) => {
    if (!said.endsWith('\r\n\r\n')) return;
    socket.setNoDelay(true);
    for (const byte of answer) {
      socket.write(byte, 'latin1');
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  expect(await askUpstream(pool, {})).toMatchObject({ body: 'abc', trailers: { t: 'u' } });
});

test('a request that met a connection which the upstream had just let go of is asked again, once it can be', async () => {
  const { pool, connections } = await poolTo((said, socket, connection) => {
    // The first connection takes a second request and ends without a word.
    if (connection === 0 && requestsIn(said) === 2) socket.destroy();
    else if (said.endsWith('\r\n\r\n')) socket.write(ok(`${connection}`));
  });
  expect((await askUpstream(pool, {})).body).toBe('0');
  expect((await askUpstream(pool, {})).body).toBe('1');
  expect(connections()).toBe(2);
});

test.each([
  ['that changes something', { method: 'POST', body: Buffer.from('x') }],
  ['that changes something without a body', { method: 'DELETE' }],
])('a request %s is never sent twice', async (_what, request) => {
  let asked = 0;
  const { pool } = await poolTo((said, socket) => {
    if (!said.includes('/second')) return void socket.write(ok('a'));
    asked += 1;
    socket.destroy();
  });
  await askUpstream(pool, {});
  await expect(askUpstream(pool, { ...request, path: '/second' })).rejects.toThrow();
  expect(asked).toBe(1);
});

test('one whose answer has begun is not asked again', async () => {
  let asked = 0;
  const { pool } = await poolTo((said, socket) => {
    if (requestsIn(said) < 2) return void socket.write(ok('a'));
    asked += 1;
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab');
  });
  await askUpstream(pool, {});
  await expect(askUpstream(pool, {})).rejects.toThrow();
  expect(asked).toBe(1);
});

test.each([
  ['no HTTP', 'SSH-2.0-x\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na'],
  ['a length and chunks', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\na'],
  ['a line that goes on', 'HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n'],
  ['another protocol', 'HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n'],
  ['an endless head', `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(1_000)}`],
  ['a broken chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n'],
  ['a body cut off', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'],
])('an answer with %s is none', async (_what, answer) => {
  const { pool } = await poolTo((said, socket) => {
    if (said.endsWith('\r\n\r\n')) socket.end(answer, 'latin1');
  });
  await expect(askUpstream(pool, {})).rejects.toThrow();
});

test('a body without a length lasts as long as its connection', async () => {
  const { pool } = await poolTo((_said, socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'));
  expect((await askUpstream(pool, {})).body).toBe('all of it');
});

test.each([
  ['shorter', ['ab']],
  ['longer', ['abc', 'def']],
])('a body that is %s than announced is never whole', async (_what, pieces) => {
  let said = '';
  const { pool } = await poolTo((all) => {
    said = all;
  });
  const body = Readable.from(pieces.map((piece) => Buffer.from(piece)));
  const headers = ['content-length', '5'];
  await expect(askUpstream(pool, { method: 'PUT', headers, body })).rejects.toMatchObject({
    code: 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
  });
  expect(said).not.toContain('def');
});

test('an answer that comes before all was sent ends the connection, and the body is let go', async () => {
  const { pool, connections } = await poolTo((said, socket) => {
    if (said.includes('abc')) socket.write(ok('too much', ''));
    else if (said.endsWith('\r\n\r\n')) socket.write(ok('next'));
  });
  const body = new Readable({ read() {} });
  body.push(Buffer.from('abc'));
  expect((await askUpstream(pool, { method: 'POST', body })).body).toBe('too much');
  expect(body.destroyed).toBe(true);
  expect((await askUpstream(pool, {})).body).toBe('next');
  expect(connections()).toBe(2);
});

test.each([
  ['a line end in a value', { headers: ['a', 'b\r\nx: y'] }],
  ['a line end in a name', { headers: ['a\r\nx', 'b'] }],
  ['NUL in a value', { headers: ['a', 'b\0'] }],
  ['a space in the path', { path: '/ HTTP/1.1' }],
  ['a line end in the path', { path: '/\r\nx: y' }],
  ['a method that is none', { method: 'GET /x' }],
])('nothing is sent of a request with %s', async (_what, request) => {
  let said = '';
  const { pool } = await poolTo((all) => {
    said = all;
  });
  await expect(askUpstream(pool, request)).rejects.toThrow('a header holds');
  expect(said).toBe('');
});

test('an upstream that says nothing is given up, also when it had answered before', async () => {
  let asked = 0;
  const { pool } = await poolTo((said, socket) => {
    asked = requestsIn(said);
    if (said.includes('/body')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc');
    else if (asked === 1) socket.write(ok('a'));
  });
  await askUpstream(pool, {});
  await expect(askUpstream(pool, { headersTimeout: 50 })).rejects.toMatchObject({
    code: 'UND_ERR_HEADERS_TIMEOUT',
  });
  expect(asked).toBe(2);
  await expect(askUpstream(pool, { path: '/body', bodyTimeout: 50 })).rejects.toMatchObject({
    code: 'UND_ERR_BODY_TIMEOUT',
  });
});

test('a reader that waits gets nothing meanwhile, and then all of it, to the end', async () => {
  const { pool } = await poolTo((_said, socket) => {
    const chunks = ['a', 'b', 'c'].map((letter) => `7d0\r\n${letter.repeat(2_000)}\r\n`);
    socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks.join('')}0\r\n\r\n`);
  });
  const got: string[] = [];
  let waits = false;
  await new Promise<void>((resolve, reject) => {
    pool.dispatch(
      { method: 'GET', path: '/', headers: [], body: null, headersTimeout: 5_000, bodyTimeout: 5_000 },
      {
        onRequestStart: () => {},
        onBodySent: () => {},
        onResponseStart: () => {},
        onResponseData: (controller, chunk) => {
          expect(waits).toBe(false);
          got.push(chunk.toString().slice(0, 1));
          waits = true;
          controller.pause();
          setTimeout(() => {
            waits = false;
            controller.resume();
          }, 5);
        },
        onResponseEnd: () => {
          expect(waits).toBe(false);
          resolve();
        },
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
  expect(got.filter((letter, i) => letter !== got[i - 1])).toEqual(['a', 'b', 'c']);
});

test('what waits and what is under way fails when the pool is destroyed, and nothing is sent afterwards', async () => {
  const { pool } = await poolTo(() => {}, 1);
  const asked = [0, 1, 2].map((i) => askUpstream(pool, { path: `/${i}` }));
  const ended = Promise.allSettled(asked);
  await new Promise((resolve) => setTimeout(resolve, 20));
  pool.destroy();
  expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await expect(askUpstream(pool, {})).rejects.toThrow();
});

test.each([
  ['with a length', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello'],
  ['with a length, and was to be kept', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello'],
  ['without one', 'HTTP/1.1 200 OK\r\n\r\nhello'],
  ['in chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
])('an answer %s is whole when the upstream ends while its reader waits', async (_what, answer) => {
  const { pool } = await poolTo((_said, socket) => socket.end(answer));
  let got = '';
  await new Promise<void>((resolve, reject) => {
    pool.dispatch(
      { method: 'GET', path: '/', headers: [], body: null, headersTimeout: 5_000, bodyTimeout: 5_000 },
      {
        onRequestStart: () => {},
        onBodySent: () => {},
        onResponseStart: () => {},
        onResponseData: (controller, chunk) => {
          got += chunk.toString();
          controller.pause();
          setTimeout(() => controller.resume(), 50);
        },
        onResponseEnd: () => resolve(),
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
  expect(got).toBe('hello');
});

test('trailers may be named as what every object has', async () => {
  const { pool } = await poolTo((_said, socket) => {
    socket.write(
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nconstructor: x\r\n__proto__: y\r\n\r\n',
    );
  });
  const { trailers } = await askUpstream(pool, {});
  expect(Object.entries(trailers)).toEqual([
    ['constructor', 'x'],
    ['__proto__', 'y'],
  ]);
});

test('a handler that fails at the end is told, and the connection is not used again', async () => {
  const { pool, connections } = await poolTo((said, socket) => {
    if (said.endsWith('\r\n\r\n')) socket.write(ok('a'));
  });
  await new Promise<void>((resolve) => {
    pool.dispatch(
      { method: 'GET', path: '/', headers: [], body: null, headersTimeout: 5_000, bodyTimeout: 5_000 },
      {
        onRequestStart: () => {},
        onBodySent: () => {},
        onResponseStart: () => {},
        onResponseData: () => {},
        onResponseEnd: () => {
          throw new Error('cannot');
        },
        onResponseError: () => resolve(),
      },
    );
  });
  await askUpstream(pool, {});
  expect(connections()).toBe(2);
});

test('an upload that moves is not late, whatever came of the answer', async () => {
  const { pool } = await poolTo((said, socket) => {
    if (!said.includes('b')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    if (said.endsWith('0\r\n\r\n')) socket.write(ok('done'));
  });
  async function* slowly() {
    for (let i = 0; i < 8; i++) {
      yield Buffer.from('b');
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  }
  const body = Readable.from(slowly());
  expect((await askUpstream(pool, { method: 'PUT', body, headersTimeout: 250 })).body).toBe('done');
});

test('thousands of tiny chunks that come together are few pieces', async () => {
  const { pool } = await poolTo((_said, socket) => {
    socket.write(
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(10_000)}0\r\n\r\n`,
    );
  });
  let pieces = 0;
  let bytes = 0;
  await new Promise<void>((resolve, reject) => {
    pool.dispatch(
      { method: 'GET', path: '/', headers: [], body: null, headersTimeout: 5_000, bodyTimeout: 5_000 },
      {
        onRequestStart: () => {},
        onBodySent: () => {},
        onResponseStart: () => {},
        onResponseData: (_controller, chunk) => {
          pieces += 1;
          bytes += chunk.byteLength;
        },
        onResponseEnd: () => resolve(),
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
  expect(bytes).toBe(10_000);
  expect(pieces).toBeLessThan(100);
});

test('a connection for which nobody waits any more when its turn comes is not opened', async () => {
  const turns: (() => void)[] = [];
  let opened = 0;
  const server = createServer((socket) => {
    opened += 1;
    socket.on('error', () => {});
    socket.on('data', () => socket.write(ok('done')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const pool = new Http1Pool({
    ...{ authority: 'api.example.com', maxConnections: 8, maxHeaderBytes: 1_000 },
    turn: () => new Promise((resolve) => turns.push(resolve)),
    dial: async () => connect({ port, host: '127.0.0.1' }),
  });
  const answers = Promise.all(Array.from({ length: 5 }, () => askUpstream(pool, { path: '/' })));
  expect(turns).toHaveLength(5);
  turns[0]?.();
  expect((await answers).map(({ body }) => body)).toEqual(Array(5).fill('done'));
  for (const go of turns) go();
  // And the next one is served all the same.
  expect(await askUpstream(pool, { path: '/' })).toMatchObject({ body: 'done' });
  expect(opened).toBe(1);
  pool.destroy();
  server.close();
});
