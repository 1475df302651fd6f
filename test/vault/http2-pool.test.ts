import { once } from 'node:events';
import { constants, createServer, type Http2Server, type ServerHttp2Stream, type Settings } from 'node:http2';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { BodyBudget } from '../../src/vault/egress/bodies.ts';
import { type ForwardResult, forward } from '../../src/vault/egress/forward.ts';
import { Http1Pool } from '../../src/vault/egress/http1-pool.ts';
import { Http2Pool } from '../../src/vault/egress/http2-pool.ts';
import { Http2Response } from '../../src/vault/egress/http2-response.ts';
import { askUpstream } from './support/ask-upstream.ts';
import { code, fields, flag, frame, settings, type, uint32 } from './support/http2-frames.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Made {
  pool: Http2Pool;
  /** How often a connection was opened. */
  dials: () => number;
  sockets: Set<Socket>;
}

/** A pool before a port; what protocol TLS had agreed on is the test's to say. */
function poolAt(port: number, protocol: 'h2' | 'http/1.1'): Made {
  let dials = 0;
  const sockets = new Set<Socket>();
  const dial = async (): Promise<Socket> => {
    dials += 1;
    const socket = connect({ port, host: '127.0.0.1' });
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    await once(socket, 'connect');
    return Object.assign(socket, { alpnProtocol: protocol });
  };
  const more = { authority: 'api.example.com', maxHeaderBytes: 16_000 };
  const http1 = new Http1Pool({ ...more, dial, maxConnections: 64 });
  const pool = new Http2Pool({ dial, authority: more.authority, maxConnections: 8, http1 });
  closers.push(() => {
    pool.destroy();
    http1.destroy();
  });
  return { pool, dials: () => dials, sockets };
}

async function poolTo(
  answer: (stream: ServerHttp2Stream, count: number) => unknown,
  limits: Settings = {},
): Promise<Made & { server: Http2Server }> {
  const server = createServer({ settings: limits });
  let count = 0;
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    answer(stream, ++count);
  });
  server.on('sessionError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  return { ...poolAt((server.address() as AddressInfo).port, 'h2'), server };
}

/** An upstream that says what the test says, byte for byte. */
async function serveBytes(say: (socket: Socket) => unknown): Promise<number> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => say(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

const ok = (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200 });
  stream.end('ok');
};

test('what is asked at once shares a connection up to what the upstream takes, and waits beyond eight', async () => {
  let open = 0;
  let most = 0;
  const { pool, dials } = await poolTo(
    async (stream) => {
      most = Math.max(most, ++open);
      await sleep(5);
      open -= 1;
      ok(stream);
    },
    { maxConcurrentStreams: 2 },
  );
  expect(await askUpstream(pool, {})).toMatchObject({ status: 200, body: 'ok' });
  expect(dials()).toBe(1);
  const answers = await Promise.all(Array.from({ length: 40 }, () => askUpstream(pool, {})));
  expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(['ok']));
  expect(dials()).toBeLessThanOrEqual(8);
  expect(most).toBeLessThanOrEqual(16);
});

test('a hundred that come before the first connection is up share it', async () => {
  const { pool, dials } = await poolTo(ok);
  const answers = await Promise.all(Array.from({ length: 100 }, () => askUpstream(pool, {})));
  expect(answers.every(({ body }) => body === 'ok')).toBe(true);
  expect(dials()).toBe(1);
});

test('fields go out as they are, with the host as the authority and the length of what has one', async () => {
  const seen: string[][] = [];
  const { pool, server } = await poolTo(ok);
  server.on('stream', (_stream, _headers, _flags, fields) => {
    seen.push((fields as unknown as string[]).map(String));
  });
  await askUpstream(pool, {
    path: '/a?b',
    headers: ['X-A', '1', 'x-a', '2', 'Host', 'other.example.com', 'etag', '"1"', 'etag', '"2"'],
  });
  await askUpstream(pool, { method: 'POST', body: Buffer.from('four') });
  await askUpstream(pool, { method: 'POST' });
  expect(seen.map((fields) => fields.slice(0, 8))).toEqual([
    [':method', 'GET', ':scheme', 'https', ':authority', 'other.example.com', ':path', '/a?b'],
    ...Array(2).fill([':method', 'POST', ':scheme', 'https', ':authority', 'api.example.com', ':path', '/']),
  ]);
  expect(seen.map((fields) => fields.slice(8))).toEqual([
    ['x-a', '1', 'x-a', '2', 'etag', '"1"', 'etag', '"2"'],
    ['content-length', '4'],
    ['content-length', '0'],
  ]);
  for (const headers of [
    ['x-a', 'b\r\nc: d'],
    ['x a', 'b'],
    ['connection', 'x-a'],
  ]) {
    await expect(askUpstream(pool, { headers })).rejects.toThrow();
  }
  await expect(askUpstream(pool, { path: '/a b' })).rejects.toThrow();
  expect(seen.length).toBe(3);
});

test('what an upstream refuses to begin is asked again, and not for ever', async () => {
  const { pool } = await poolTo((stream, count) => {
    if (count < 3) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    else ok(stream);
  });
  expect(await askUpstream(pool, {})).toMatchObject({ body: 'ok' });
  let asked = 0;
  const never = await poolTo((stream) => {
    asked += 1;
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
  await expect(askUpstream(never.pool, {})).rejects.toThrow();
  expect(asked).toBe(3);
  asked = 0;
  await expect(askUpstream(never.pool, { method: 'POST', body: Buffer.from('x') })).rejects.toThrow();
  expect(asked).toBe(1);
});

test.each<[string, Buffer | undefined]>([
  ['taken back', frame(type.reset, 0, 1, uint32(code.cancel))],
  ['broken off', frame(type.reset, 0, 1, uint32(code.internal))],
  ['lost with its connection', undefined],
])('an answer that is %s after it has begun is an error', async (_, end) => {
  const port = await serveBytes((socket) => {
    const head = frame(type.headers, flag.endHeaders, 1, fields([':status', '200']));
    socket.write(Buffer.concat([settings(), head, frame(type.data, 0, 1, Buffer.from('beginning'))]));
    setTimeout(() => (end ? socket.write(end) : socket.destroy()), 20);
  });
  await expect(askUpstream(poolAt(port, 'h2').pool, {})).rejects.toThrow();
});

test('one that is shorter than it says is an error too, and one without a body is not', async () => {
  const { pool } = await poolTo((stream, count) => {
    if (count > 2) return stream.respond({ ':status': 304, 'content-length': 9 }, { endStream: true });
    if (count > 1) {
      stream.respond({ ':status': 200, 'content-length': 9 });
      return stream.end();
    }
    stream.respond({ ':status': 200, 'content-length': 9 });
    return stream.end('four');
  });
  await expect(askUpstream(pool, {})).rejects.toThrow();
  expect(await askUpstream(pool, { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  expect(await askUpstream(pool, {})).toMatchObject({ status: 304 });
});

test('a body goes up as it comes, and one that is not as long as announced is taken back', async () => {
  const got: string[] = [];
  let cut = 0;
  const { pool } = await poolTo((stream) => {
    let body = '';
    stream.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    stream.on('aborted', () => {
      cut += 1;
    });
    stream.on('end', () => {
      if (stream.aborted) return;
      got.push(body);
      ok(stream);
    });
  });
  const body = () => Readable.from([Buffer.from('ab'), Buffer.from('cd')]);
  expect(await askUpstream(pool, { method: 'PUT', body: body() })).toMatchObject({ body: 'ok' });
  const announced = (bytes: string) => ({ method: 'PUT', body: body(), headers: ['content-length', bytes] });
  expect(await askUpstream(pool, announced('4'))).toMatchObject({ body: 'ok' });
  for (const bytes of ['3', '5']) await expect(askUpstream(pool, announced(bytes))).rejects.toThrow();
  await expect.poll(() => cut).toBe(2);
  expect(got).toEqual(['abcd', 'abcd']);
});

test('an upstream that answers before the body is whole is quoted, and gets no more of it', async () => {
  const { pool } = await poolTo((stream) => {
    stream.respond({ ':status': 413 });
    stream.end('big');
  });
  let read = 0;
  const body = new Readable({
    read() {
      read += 1;
      setTimeout(() => this.push(Buffer.alloc(1_000)), 2);
    },
  });
  expect(await askUpstream(pool, { method: 'PUT', body })).toMatchObject({ status: 413, body: 'big' });
  await expect.poll(() => body.closed).toBe(true);
  const before = read;
  await sleep(20);
  expect(read).toBe(before);
});

test('a reader that takes its time gets all of a long answer, and the upstream waits for it', async () => {
  const bytes = 16 * 1024 * 1024;
  let written = 0;
  const { pool } = await poolTo((stream) => {
    stream.respond({ ':status': 200 });
    const more = () => {
      while (written < bytes) {
        written += 65_536;
        if (!stream.write(Buffer.alloc(65_536))) return void stream.once('drain', more);
      }
      stream.end();
    };
    more();
  });
  let read = 0;
  let writtenWhilePaused = 0;
  await new Promise<void>((resolve, reject) => {
    pool.dispatch(
      { method: 'GET', path: '/', headers: [], body: null, headersTimeout: 10_000, bodyTimeout: 50 },
      {
        onRequestStart: () => {},
        onBodySent: () => {},
        onResponseStart: () => {},
        onResponseData: (controller, chunk) => {
          const isFirst = read === 0;
          read += chunk.byteLength;
          controller.pause();
          // Longer than an upstream may be silent: it is not the one that is.
          const resume = () => {
            if (isFirst) writtenWhilePaused = written;
            controller.resume();
          };
          if (isFirst) setTimeout(resume, 150);
          else setImmediate(resume);
        },
        onResponseEnd: () => resolve(),
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
  expect(read).toBe(bytes);
  expect(writtenWhilePaused).toBeLessThan(4 * 1024 * 1024);
});

test('an upstream that is silent, or takes no requests, is given up in time', async () => {
  const silent = await poolTo(() => {});
  await expect(askUpstream(silent.pool, { headersTimeout: 50 })).rejects.toMatchObject({
    code: 'UND_ERR_HEADERS_TIMEOUT',
  });
  const slow = await poolTo((stream) => {
    stream.respond({ ':status': 200 });
    stream.write('a');
  });
  await expect(askUpstream(slow.pool, { bodyTimeout: 50 })).rejects.toMatchObject({
    code: 'UND_ERR_BODY_TIMEOUT',
  });
  const none = await poolTo(ok, { maxConcurrentStreams: 0 });
  for (let i = 0; i < 3; i++) {
    await expect(askUpstream(none.pool, { headersTimeout: 200 })).rejects.toThrow();
  }
  expect(none.dials()).toBeLessThanOrEqual(8);
});

test('an answer that cannot be passed on over HTTP/2 fails as such, whatever protocol it came over', async () => {
  const port = await serveBytes((socket) => {
    socket.write(settings());
    const head = frame(type.headers, flag.endHeaders, 1, fields([':status', '999']));
    socket.write(Buffer.concat([head, frame(type.data, flag.endStream, 1, Buffer.from('denied'))]));
  });
  const { pool } = poolAt(port, 'h2');
  const result = Promise.withResolvers<ForwardResult>();
  const door = await poolTo((stream) => {
    const response = new Http2Response(stream);
    const asked = { upstream: pool, method: 'GET', path: '/', headers: [], body: null };
    void forward({ ...asked, response, budget: new BodyBudget(1_000) }).then((told) => {
      result.resolve(told);
      response.writeHead(502, []);
      response.end();
    });
  });
  expect(await askUpstream(door.pool, {})).toMatchObject({ status: 502, body: '' });
  expect(await result.promise).toMatchObject({ outcome: 'failed' });
});

test('after a request that was not answered in time the next takes another connection, and others go on', async () => {
  const streams: ServerHttp2Stream[] = [];
  const { pool, dials } = await poolTo((stream, count) => {
    if (count > 3) ok(stream);
    else if (count > 1) streams.push(stream);
    else ok(stream);
  });
  await askUpstream(pool, {});
  const slow = askUpstream(pool, {});
  await expect(askUpstream(pool, { headersTimeout: 50 })).rejects.toThrow();
  expect(dials()).toBe(1);
  expect(await askUpstream(pool, {})).toMatchObject({ body: 'ok' });
  expect(dials()).toBe(2);
  const [first] = streams;
  if (first) ok(first);
  expect(await slow).toMatchObject({ body: 'ok' });
});

test('an upstream of HTTP/1.1 is asked so on the connection that was opened, and not offered HTTP/2 each time', async () => {
  const port = await serveBytes((socket) => {
    const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
    socket.write(answer);
    socket.on('data', () => socket.write(answer));
  });
  const { pool, dials } = poolAt(port, 'http/1.1');
  for (let i = 0; i < 3; i++) expect(await askUpstream(pool, {})).toMatchObject({ body: 'ok' });
  expect(dials()).toBe(1);
});

test('nothing stays open of a pool that is destroyed, and of one that is closed once all is answered', async () => {
  let answer = () => {};
  const { pool, sockets } = await poolTo((stream) => {
    answer = () => ok(stream);
  });
  const asked = askUpstream(pool, {});
  await expect.poll(() => sockets.size).toBe(1);
  await sleep(50);
  pool.close();
  answer();
  expect(await asked).toMatchObject({ body: 'ok' });
  await expect.poll(() => sockets.size).toBe(0);
  const other = await poolTo(() => {});
  const lost = expect(askUpstream(other.pool, {})).rejects.toThrow();
  await expect.poll(() => other.sockets.size).toBe(1);
  other.pool.destroy();
  await lost;
  await expect.poll(() => other.sockets.size).toBe(0);
  await expect(askUpstream(other.pool, {})).rejects.toThrow();
});
