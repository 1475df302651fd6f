import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BodyError, BodyReader } from '../../src/vault/egress/http1-body.ts';
import {
  type Framing,
  mayBeRequest,
  mayBeResponse,
  readRequestStart,
  readResponseStart,
  requestFraming,
  responseFraming,
} from '../../src/vault/egress/http1-head.ts';
import { Chance } from './support/mutations.ts';

describe('the head of a request', () => {
  test.each([
    ['a method that nobody knows', 'get / HTTP/1.1\r\nhost: a'],
    ['two spaces', 'GET  / HTTP/1.1\r\nhost: a'],
    ['a tab', 'GET\t/ HTTP/1.1\r\nhost: a'],
    ['no version', 'GET /\r\nhost: a'],
    ['a version with more to it', 'GET / HTTP/1.1 \r\nhost: a'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nhost : a'],
    ['a line that goes on', 'GET / HTTP/1.1\r\nhost: a\r\n b'],
    ['a space before the first name', 'GET / HTTP/1.1\r\n host: a'],
    ['no colon', 'GET / HTTP/1.1\r\nhost'],
    ['an empty name', 'GET / HTTP/1.1\r\n: a'],
    ['a bare line feed', 'GET / HTTP/1.1\r\nhost: a\nx: y'],
    ['a bare carriage return', 'GET / HTTP/1.1\r\nhost: a\rx: y'],
    ['NUL in a value', 'GET / HTTP/1.1\r\nhost: a\0b'],
    ['DEL in a value', 'GET / HTTP/1.1\r\nhost: a\x7fb'],
    ['a name that is no token', 'GET / HTTP/1.1\r\nho(st: a'],
    ['a target with a byte above ASCII', 'GET /\xe9 HTTP/1.1\r\nhost: a'],
    ['nothing', ''],
  ])('is not proper with %s', (_what, text) => {
    expect(readRequestStart(text)).toBeUndefined();
  });

  test('is read as it stands, without the blanks around values', () => {
    expect(readRequestStart('POST /a?b HTTP/1.1\r\nHost:  a \t\r\nx-A:\r\nx-a: \xe9')).toEqual({
      ...{ method: 'POST', url: '/a?b', httpVersion: '1.1' },
      rawHeaders: ['Host', 'a', 'x-A', '', 'x-a', '\xe9'],
    });
  });

  test('what is no HTTP is known before it ends', () => {
    const head = 'PUT /a/b?c HTTP/1.1\r\nhost: a\r\n\r\n';
    for (let end = 0; end < head.length; end++) expect(mayBeRequest(head.slice(0, end))).toBe(true);
    for (const other of [
      '{"a":1}',
      '\x16\x03\x01',
      'SSH-2.0-x',
      'GET / HTTP/1.1\nhost',
      'GET / HTTPS',
      ' GET',
    ]) {
      expect(mayBeRequest(other), other).toBe(false);
    }
    const answer = 'HTTP/1.1 200 OK\r\na: b\r\n';
    for (let end = 0; end < answer.length; end++) expect(mayBeResponse(answer.slice(0, end))).toBe(true);
    for (const other of ['<html>', 'SSH-2.0-x\r\n', 'HTTP/2 200', 'HTTP/1.1 200 OK\n', 'ICY 200 OK\r\n']) {
      expect(mayBeResponse(other), other).toBe(false);
    }
  });
});

test('an answer ends in one way only', () => {
  const framing = (lines: string, method = 'GET') => {
    const start = readResponseStart(`HTTP/1.1 ${lines}`);
    return start && responseFraming(start, method)?.kind;
  };
  expect(framing('200 OK\r\ncontent-length: 3')).toBe('length');
  expect(framing('200\r\ntransfer-encoding: chunked')).toBe('chunked');
  expect(framing('200 OK')).toBe('rest');
  expect(framing('204 No\r\ncontent-length: 3')).toBe('none');
  expect(framing('304 No\r\ntransfer-encoding: chunked')).toBe('none');
  expect(framing('200 OK\r\ncontent-length: 3', 'HEAD')).toBe('none');
  for (const lines of [
    '200 OK\r\ncontent-length: 3\r\ncontent-length: 3',
    '200 OK\r\ncontent-length: 3, 3',
    '200 OK\r\ncontent-length: +3',
    '200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked',
    '200 OK\r\ntransfer-encoding: gzip, chunked',
    '200 OK\r\ntransfer-encoding: identity',
    '2000 OK',
    '99 OK',
  ])
    expect(framing(lines), lines).toBeUndefined();
});

/** All that a body says, with its bytes in pieces of these sizes. */
function readBody(framing: Framing, bytes: Buffer, size: () => number) {
  const reader = new BodyReader(framing);
  let body = '';
  let used = 0;
  for (let from = 0; from < bytes.byteLength && !reader.done; ) {
    const piece = bytes.subarray(from, from + size());
    from += piece.byteLength;
    for (let at = 0; at < piece.byteLength && !reader.done; ) {
      const next = reader.next(piece, at);
      used += next.at - at;
      at = next.at;
      body += next.piece?.toString('latin1') ?? '';
    }
  }
  return { body, used, done: reader.done, trailers: reader.trailers };
}

describe('beside the parser of Node', () => {
  let told: { method: string; url: string; rawHeaders: string[]; body: string | undefined }[] = [];
  const server = createServer(
    { maxHeaderSize: 16 * 1024, requireHostHeader: false },
    async (request, response) => {
      told.push(await tell(request));
      response.end();
    },
  );
  server.on('connect', async (request, socket) => {
    told.push(await tell(request));
    socket.end();
  });
  server.on('clientError', (_error, socket) => socket.destroy());

  async function tell(request: IncomingMessage) {
    const { method = '', url = '', rawHeaders } = request;
    const body = await buffer(request).then(
      (bytes) => bytes.toString('latin1'),
      () => undefined,
    );
    return { method, url, rawHeaders, body };
  }

  beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  /** What Node reads of these bytes when they are all that comes. */
  async function nodeReads(bytes: Buffer) {
    told = [];
    const { port } = server.address() as AddressInfo;
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.resume();
    socket.write(bytes);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const answered = new Promise((resolve) => socket.once('data', resolve));
    await Promise.race([closed, answered]);
    socket.destroy();
    await closed;
    return told;
  }

  const pieces = [
    ...[
      'GET',
      'POST',
      'get',
      ' ',
      '  ',
      '/a',
      '/a?b=c',
      ' HTTP/1.1',
      ' HTTP/1.0',
      ' HTTP/2.0',
      '\r\n',
      '\n',
      '\r',
    ],
    ...[
      'host: a',
      'Host : a',
      'x:y',
      'x: \ty ',
      ': z',
      'content-length: 3',
      'content-length: 5',
      'abc',
      '\0',
      '\x7f',
    ],
    ...[
      'transfer-encoding: chunked',
      'Transfer-Encoding: xchunked',
      'connection: close',
      '\xe9',
      ' folded',
      '3\r\n',
    ],
    ...['0\r\n\r\n', '3;x=y\r\nabc\r\n', 'expect: 100-continue', '\r\n\r\n', 'x-\xe9: a', 'upgrade: h2c'],
  ];

  test('what is read here is read there as the same', async () => {
    const random = new Chance(20_261_120);
    let accepted = 0;
    for (let round = 0; round < 400; round++) {
      const length =
        random.below(3) === 0
          ? 'content-length: 3\r\n'
          : random.below(2) === 0
            ? 'transfer-encoding: chunked\r\n'
            : '';
      const body = length.startsWith('c')
        ? 'abc'
        : length === ''
          ? ''
          : '3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: u\r\n\r\n';
      let text = `POST /a?b HTTP/1.1\r\nHost: a\r\nconnection: close\r\n${length}x-A:  b \r\n\r\n${body}`;
      for (let change = random.below(3); change > 0; change--) {
        const at = random.below(text.length + 1);
        text = text.slice(0, at) + random.of(pieces) + text.slice(at + random.below(4));
      }
      const end = text.indexOf('\r\n\r\n');
      const start = end < 0 ? undefined : readRequestStart(text.slice(0, end));
      const framing = start && requestFraming(start.rawHeaders);
      if (!start || !framing || typeof framing === 'string' || start.httpVersion !== '1.1') continue;
      // Those the gate refuses by name.
      if (start.method === 'CONNECT' || start.rawHeaders.some((part) => /^upgrade$/i.test(part))) continue;
      let read: ReturnType<typeof readBody>;
      try {
        read = readBody(framing, Buffer.from(text.slice(end + 4), 'latin1'), () => 1 + random.below(7));
      } catch (error) {
        expect(error).toBeInstanceOf(BodyError);
        continue;
      }
      if (framing.kind !== 'none' && !read.done) continue;
      accepted += 1;
      const [request] = await nodeReads(Buffer.from(text, 'latin1'));
      expect(request, JSON.stringify(text)).toEqual({
        ...{ method: start.method, url: start.url, rawHeaders: start.rawHeaders, body: read.body },
      });
    }
    expect(accepted).toBeGreaterThan(100);
  });
});

test('a body in chunks is the same however its bytes come, and what follows is left', () => {
  const random = new Chance(7);
  for (let round = 0; round < 300; round++) {
    let body = '';
    let sent = '';
    for (let chunk = random.below(5); chunk > 0; chunk--) {
      const piece = 'x\r\n0;'.repeat(1 + random.below(20));
      body += piece;
      sent += `${piece.length.toString(16)}${random.below(2) ? ';a="b"' : ''}\r\n${piece}\r\n`;
    }
    const trailers = random.below(2) ? 'a: b\r\nc: d\r\n' : '';
    sent += `0\r\n${trailers}\r\n`;
    const bytes = Buffer.from(`${sent}GET /next`, 'latin1');
    const read = readBody({ kind: 'chunked' }, bytes, () => 1 + random.below(30));
    expect(read).toMatchObject({ body, used: sent.length, done: true });
    expect(read.trailers).toEqual(trailers ? ['a', 'b', 'c', 'd'] : []);
  }
});

test.each([
  ['a size that is no number', 'x\r\n'],
  ['a size with a sign', '+3\r\nabc\r\n'],
  ['a size with 0x', '0x3\r\nabc\r\n'],
  ['an endless size', `${'1'.repeat(14)}\r\n`],
  ['a bare line feed after a size', '3\nabc\r\n'],
  ['more than was announced', '3\r\nabcd\r\n0\r\n\r\n'],
  ['a bare line feed after a chunk', '3\r\nabc\n0\r\n\r\n'],
  ['an endless line', `3;${'x'.repeat(5_000)}`],
  ['too much said of chunks', `1;${'x'.repeat(4_000)}\r\na\r\n`.repeat(6)],
  ['a control character said of a chunk', '3;\x01\r\nabc\r\n'],
  ['trailers that are none', '0\r\nabc\r\n\r\n'],
  ['trailers without end', `0\r\n${'a: b\r\n'.repeat(5_000)}`],
])('a body in chunks is broken by %s', (_what, text) => {
  const all = Buffer.from(text, 'latin1');
  expect(() => readBody({ kind: 'chunked' }, all, () => all.byteLength)).toThrow(BodyError);
  expect(() => readBody({ kind: 'chunked' }, all, () => 1)).toThrow(BodyError);
});
