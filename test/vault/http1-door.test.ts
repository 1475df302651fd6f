import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { BodyBudget } from '../../src/vault/egress/bodies.ts';
import type { ClientRequest, ClientResponse } from '../../src/vault/egress/client-messages.ts';
import { type Http1Handlers, serveHttp1 } from '../../src/vault/egress/http1-door.ts';
import { endWith } from '../../src/vault/egress/last-words.ts';

const opened: (() => void)[] = [];
afterEach(() => {
  for (const close of opened.splice(0)) close();
});

/** A client's connection to a door with these handlers, and what was found unreadable on it. */
async function door(
  on: Partial<Http1Handlers>,
): Promise<{ socket: Socket; unreadable: string[]; answer: () => Promise<string> }> {
  const unreadable: string[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {});
    serveHttp1(socket, {
      idleMs: 900_000,
      request: (_request, response) => response.destroy(),
      connect: (_request, inner) => inner.destroy(),
      unreadable: ({ rule }) => {
        unreadable.push(rule);
        return { answers: true };
      },
      ...on,
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  opened.push(() => {
    socket.destroy();
    server.close();
  });
  return { socket, unreadable, answer: async () => (await buffer(socket)).toString('latin1') };
}

/** Echoes path and body. */
async function echo(request: ClientRequest, response: ClientResponse): Promise<void> {
  const body = await request.body.readAll(1_000_000, new BodyBudget(1_000_000));
  const said = `${request.url} ${body.toString('latin1')}`;
  response.writeHead(200, ['content-length', String(said.length)]);
  response.end(said, 'latin1');
}

const bodiesOf = (answer: string) => answer.split(/HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)*\r\n/).slice(1);

test('requests that come at once are answered one after the other, whatever their bodies are', async () => {
  let active = 0;
  const { socket, answer } = await door({
    request: async (request, response) => {
      active += 1;
      expect(active).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 3));
      active -= 1;
      await echo(request, response);
    },
  });
  socket.write(
    [
      '\r\nGET /1 HTTP/1.1\r\nhost: a\r\n\r\n',
      'POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc',
      'POST /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1;x\r\nf\r\n0\r\nt: u\r\n\r\n',
      'GET /4 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
    ].join(''),
  );
  expect(bodiesOf(await answer())).toEqual(['/1 ', '/2 abc', '/3 def', '/4 ']);
});

test.each([
  ['that is the last', 'connection: close\r\n', [200, 200]],
  ['that others may follow', '', [75_000, 200]],
])(
  'of an answer %s and was written whole, a client that takes nothing is not waited for without end',
  async (_, last, waits) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const bytes = 32 * 1024 * 1024;
    const answered = Promise.withResolvers<void>();
    const { socket, answer } = await door({
      idleMs: 200,
      request: (_request, response) => {
        response.writeHead(200, ['content-length', String(bytes)]);
        response.end(Buffer.alloc(bytes));
        answered.resolve();
      },
    });
    socket.pause();
    socket.write(`GET / HTTP/1.1\r\nhost: a\r\n${last}\r\n`);
    await answered.promise;
    for (const ms of waits) {
      vi.advanceTimersByTime(ms + 1);
      // As far as it comes by itself.
      await sleep(50);
    }
    vi.useRealTimers();
    expect((await answer()).length).toBeLessThan(bytes);
  },
);

test('a request is the same in single bytes', async () => {
  const { socket, answer } = await door({ request: echo });
  const said =
    'POST /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n';
  for (const byte of said) {
    socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(bodiesOf(await answer())).toEqual(['/3 de']);
});

test('thousands of requests at once are all answered, in order', async () => {
  const { socket, answer } = await door({ request: echo });
  const count = 5_000;
  for (let i = 0; i < count; i++) socket.write(`GET /${i} HTTP/1.1\r\nhost: a\r\n\r\n`);
  socket.write('GET /end HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  const bodies = bodiesOf(await answer());
  expect(bodies).toHaveLength(count + 1);
  expect(bodies.every((body, i) => body === (i < count ? `/${i} ` : '/end '))).toBe(true);
});

test('a body that nobody reads is taken off the connection before the next request', async () => {
  const { socket, answer } = await door({
    request: (request, response) => {
      response.writeHead(200, ['content-length', '1']);
      response.end(request.url === '/1' ? 'a' : 'b', 'latin1');
    },
  });
  const body = 'GET /evil HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(20_000);
  socket.write(`PUT /1 HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  socket.write('GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  expect(bodiesOf(await answer())).toEqual(['a', 'b']);
});

test('a body that is waited for holds the client back, and all of it comes', async () => {
  const bytes = 8 * 1024 * 1024;
  let waiting = Promise.resolve();
  let read = 0;
  const { socket, answer } = await door({
    request: async ({ body }, response) => {
      waiting = new Promise((resolve) => setTimeout(resolve, 100));
      await waiting;
      for await (const chunk of body.stream() as AsyncIterable<Buffer>) read += chunk.byteLength;
      response.writeHead(200, ['content-length', '0', 'connection', 'close']);
      response.end();
    },
  });
  socket.write(`PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: ${bytes}\r\n\r\n`);
  socket.write(Buffer.alloc(bytes));
  expect(await answer()).toContain('200 OK');
  expect(read).toBe(bytes);
});

test.each([
  ['HEAD', 200, 'HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'],
  ['204', 204, 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'],
  ['304', 304, 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'],
])('an answer to %s has no body', async (_what, status, request) => {
  const { socket, answer } = await door({
    request: (_request, response) => {
      response.writeHead(status, ['x', 'y']);
      response.write(Buffer.from('evil'));
      response.end();
    },
  });
  socket.write(request);
  expect(await answer()).toMatch(
    /^HTTP\/1\.1 \d+ [\w ]+\r\nx: y\r\ndate: [^\r]+\r\nconnection: close\r\n\r\n$/,
  );
});

test('an answer without a length is sent in chunks, with what follows it', async () => {
  const { socket, answer } = await door({
    request: (_request, response) => {
      response.writeHead(200, ['date', 'x']);
      response.write(Buffer.from('ab'));
      response.write(Buffer.alloc(20_000, 'c'));
      response.addTrailers([['t', 'u']]);
      response.end('d', 'latin1');
    },
  });
  socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  expect(await answer()).toBe(
    `HTTP/1.1 200 OK\r\ndate: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n4e20\r\n${'c'.repeat(20_000)}\r\n1\r\nd\r\n0\r\nt: u\r\n\r\n`,
  );
});

test.each([
  ['shorter', 'ab'],
  ['longer', 'abcdef'],
])('an answer that is %s than announced looks broken off', async (_what, text) => {
  const { socket, answer } = await door({
    request: (_request, response) => {
      response.writeHead(200, ['content-length', '4']);
      response.end(text, 'latin1');
    },
  });
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /next HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(await answer().catch(() => '')).not.toContain('abcdef');
});

test.each([
  ['a line that is none', 'GET / HTTP/1.1\r\nhost : a\r\n\r\n', 'http.malformed'],
  ['TLS', '\x16\x03\x01\x02\x00', 'http.malformed'],
  ['a head without end', `GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(4_000)}`, 'http.headers'],
  [
    'a chunk that is none',
    'GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n',
    undefined,
  ],
])('%s ends the connection, with an answer', async (_what, said, rule) => {
  const { socket, answer, unreadable } = await door({
    request: async ({ body }, response) => {
      await body.readAll(10, new BodyBudget(10)).catch((error) => {
        response.writeHead(400, { 'content-length': 0, connection: 'close', 'x-why': error.refusal.rule });
        response.end();
      });
    },
  });
  socket.write(said, 'latin1');
  socket.write('GET /next HTTP/1.1\r\nhost: a\r\n\r\n');
  const got = await answer();
  expect(got).toMatch(/^HTTP\/1\.1 4\d\d /);
  expect(got.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
  expect(unreadable).toEqual(rule === undefined ? [] : [rule]);
  if (rule === undefined) expect(got).toContain('x-why: http.malformed');
});

test('a client that leaves is told of to who answers it and to who reads its body', async () => {
  const told: string[] = [];
  const { socket } = await door({
    request: ({ body }, response) => {
      response.once('close', () => told.push('answer'));
      body.readAll(100, new BodyBudget(100)).catch(() => told.push('body'));
    },
  });
  socket.write('PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc');
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.destroy();
  await expect.poll(() => told.sort()).toEqual(['answer', 'body']);
});

test('CONNECT and upgrades get the connection with what came after them', async () => {
  for (const [line, headers] of [
    ['CONNECT a:443 HTTP/1.1', ''],
    ['GET / HTTP/1.1', 'connection: upgrade\r\nupgrade: websocket\r\n'],
  ] as const) {
    const hand = (request: ClientRequest, inner: Socket, head: Buffer) => {
      inner.on('data', (chunk) => inner.write(chunk));
      inner.write(`${request.method} ${head}`);
      inner.resume();
    };
    const { socket } = await door({ connect: hand, upgrade: hand });
    let got = '';
    socket.on('data', (chunk) => {
      got += chunk;
    });
    socket.write(`${line}\r\nhost: a\r\n${headers}\r\nfirst `);
    await expect.poll(() => got).toContain('first ');
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await expect.poll(() => got).toMatch(/^(CONNECT|GET) first GET \/ HTTP/);
  }
});

test('an empty line before a request means nothing, whenever it comes', async () => {
  const { socket, answer } = await door({ request: echo });
  for (const said of [
    '\r',
    '\n',
    'GET /1 HTTP/1.1\r\nhost: a\r\n\r\n',
    '\r\n',
    'GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
  ]) {
    socket.write(said);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(bodiesOf(await answer())).toEqual(['/1 ', '/2 ']);
});

test('an answer after which the connection ends reaches a client that takes its time', async () => {
  const bytes = 16 * 1024 * 1024;
  const { socket, answer } = await door({
    request: (_request, response) => {
      response.writeHead(200, ['content-length', String(bytes)]);
      response.write(Buffer.alloc(bytes, 'x'));
      response.end();
    },
  });
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect((await answer()).length).toBeGreaterThan(bytes);
});

test('a connection that was refused ends, whatever its client still says or does not', async () => {
  const { socket, answer } = await door({ connect: (_request, inner) => endWith(inner, Buffer.from('no')) });
  const stays = { closed: false };
  socket.once('close', () => {
    stays.closed = true;
  });
  socket.allowHalfOpen = true;
  socket.write('CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\nmore');
  expect(await answer()).toBe('no');
  await expect
    .poll(
      () => {
        socket.write('still');
        return stays.closed;
      },
      { timeout: 10_000 },
    )
    .toBe(true);
});
