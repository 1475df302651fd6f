import type { ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { curl, type Door } from './support/client.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { ask, connectHttp2 } from './support/http2-client.ts';
import { type Http2Upstream, startHttp2Upstream } from './support/http2-upstream.ts';
import { storeVaultCredential } from './support/vault-credential.ts';

const host = 'grpc.example.com';
const grpc = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
const secret = 'sk-grpc-credential-123456';
let fixture: Fixture;
let upstream: Http2Upstream;
let world: TestEgress;
let door: Door;
let plain: Http2Upstream['answer'];

beforeAll(async () => {
  const database = await createTestDatabase();
  upstream = await startHttp2Upstream(host);
  plain = upstream.answer;
  fixture = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
  await storeVaultCredential(database.database, fixture, host, secret, '/secret.Service');
  world = await startTestEgress(database, {}, { connect: upstream.connect });
  world.network.names.set(host, ['93.184.216.34']);
  door = await world.open(fixture);
});
beforeEach(() => {
  upstream.answer = plain;
  upstream.seen.length = 0;
  upstream.protocols.length = 0;
});
afterAll(() => upstream.close());

/** A gRPC message: not compressed, its length, its bytes. */
function message(text: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(Buffer.byteLength(text), 1);
  return Buffer.concat([head, Buffer.from(text)]);
}

function messages(bytes: Buffer): string[] {
  return messageReader()(bytes);
}

/** Gives the messages that are whole, however the bytes are cut. */
function messageReader(): (chunk: Buffer) => string[] {
  let held = Buffer.alloc(0);
  return (chunk) => {
    held = Buffer.concat([held, chunk]);
    const found: string[] = [];
    while (held.byteLength >= 5 && held.byteLength >= 5 + held.readUInt32BE(1)) {
      const end = 5 + held.readUInt32BE(1);
      found.push(held.subarray(5, end).toString());
      held = held.subarray(end);
    }
    return found;
  };
}

/** Answers as a gRPC server does, with its status in the trailers. */
function serveGrpc(answer: (asked: string) => string[]) {
  return (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'fine' }));
    const read = messageReader();
    stream.on('data', (chunk: Buffer) => {
      for (const asked of read(chunk)) for (const said of answer(asked)) stream.write(message(said));
    });
    stream.on('end', () => stream.end());
  };
}

test('a unary call reaches a gRPC server over HTTP/2 and its status comes back in the trailers', async () => {
  upstream.answer = serveGrpc((asked) => [`hello ${asked}`]);
  const session = await connectHttp2(door, host);
  const answer = await ask(session, { ...grpc, ':path': '/hello.Greeter/Say' }, message('Ada'));
  expect(messages(Buffer.from(answer.body, 'latin1'))).toEqual(['hello Ada']);
  expect(answer.headers['content-type']).toBe('application/grpc');
  expect(answer.trailers).toMatchObject({ 'grpc-status': '0', 'grpc-message': 'fine' });
  expect(upstream.seen[0]).toMatchObject({
    ':path': '/hello.Greeter/Say',
    ':authority': host,
    te: 'trailers',
  });
  expect(upstream.protocols).toEqual(['h2']);
  session.close();
  expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
    ...{ path: '/hello.Greeter/Say', status: 200, decision: 'allowed' },
  });
});

test('messages of a server stream come one by one, and both sides talk at once', async () => {
  upstream.answer = serveGrpc((asked) => [`${asked} 1`, `${asked} 2`]);
  const session = await connectHttp2(door, host);
  const stream: ClientHttp2Stream = session.request({ ...grpc, ':path': '/hello.Greeter/Chat' });
  const said: string[] = [];
  let heard: (() => void) | undefined;
  let trailers: IncomingHttpHeaders = {};
  const read = messageReader();
  stream.on('data', (chunk: Buffer) => {
    said.push(...read(chunk));
    heard?.();
  });
  stream.on('trailers', (got) => {
    trailers = got;
  });
  const until = (count: number) =>
    new Promise<void>((resolve) => {
      heard = () => said.length >= count && resolve();
      heard();
    });
  stream.write(message('a'));
  await until(2);
  // The second question follows an answer: neither side waits for the other's end.
  stream.write(message('b'));
  await until(4);
  stream.end();
  await new Promise((resolve) => stream.once('close', resolve));
  expect(said).toEqual(['a 1', 'a 2', 'b 1', 'b 2']);
  expect(trailers['grpc-status']).toBe('0');
  session.close();
});

test('an error without a body keeps its status, and a hundred calls at once share a connection', async () => {
  upstream.answer = (stream) => {
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' },
      { endStream: true },
    );
  };
  const session = await connectHttp2(door, host);
  const none = await ask(session, { ...grpc, ':path': '/hello.Greeter/None' }, message('x'));
  expect(none).toMatchObject({ status: 200, headers: { 'grpc-status': '5' } });
  upstream.protocols.length = 0;
  upstream.answer = serveGrpc((asked) => [asked]);
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => ask(session, { ...grpc, ':path': '/a.B/C' }, message(`n${i}`))),
  );
  expect(answers.map(({ body }) => messages(Buffer.from(body, 'latin1'))[0])).toEqual(
    Array.from({ length: 100 }, (_, i) => `n${i}`),
  );
  expect(upstream.protocols.length).toBeLessThanOrEqual(8);
  session.close();
});

test('a credential is put on, and is masked in body and trailers', async () => {
  upstream.answer = (stream, headers) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => {
      const said = String(headers.authorization);
      stream.sendTrailers({
        'grpc-message': said,
        authorization: said,
        'x-tagalong-forged': '1',
        'set-cookie': 'a',
      });
    });
    stream.end(`you are ${headers.authorization}`);
  };
  const session = await connectHttp2(door, host);
  const answer = await ask(session, { ...grpc, ':path': '/secret.Service/Echo', authorization: 'agent' }, '');
  expect(upstream.seen[0]?.authorization).toBe(`Bearer ${secret}`);
  expect(answer.body).toBe(`you are Bearer ${'*'.repeat(secret.length)}`);
  expect(answer.trailers).toEqual(
    expect.objectContaining({ 'grpc-message': `Bearer ${'*'.repeat(secret.length)}` }),
  );
  expect(Object.keys(answer.trailers)).toEqual(['grpc-message']);
  session.close();
});

test('other requests go over HTTP/1.1 though the upstream speaks both', async () => {
  const session = await connectHttp2(door, host);
  expect(await ask(session, { ':path': '/plain' })).toMatchObject({ status: 200, body: 'over 1.1' });
  expect(upstream.protocols).toEqual(['http/1.1']);
  session.close();
});

test('HTTP/1.1 clients get the trailers of an HTTP/2 upstream', async () => {
  upstream.answer = serveGrpc((asked) => [asked]);
  const got = await curl(
    door,
    ...[`https://${host}/a.B/C`, '--http1.1', '-H', 'Content-Type: application/grpc', '-D', '-'],
    ...['--data-binary', '@/dev/null', '--raw', '-o', '-'],
  );
  expect(got.stdout).toMatch(/0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n$/);
});

test('a request that the upstream has not begun when it says goodbye is asked again; one that it has is not', async () => {
  let asked = 0;
  const session = await connectHttp2(door, host);
  // Node's server can only name a stream before this one if there was one.
  await ask(session, { te: 'trailers', ':path': '/first' });
  upstream.answer = (stream) => {
    asked += 1;
    if (asked === 1) return stream.session?.goaway(0, (stream.id ?? 3) - 2);
    stream.respond({ ':status': 200 });
    stream.end(`try ${asked}`);
  };
  expect(await ask(session, { te: 'trailers', ':path': '/again' })).toMatchObject({
    status: 200,
    body: 'try 2',
  });
  asked = 0;
  upstream.answer = (stream) => {
    asked += 1;
    stream.session?.goaway(0, stream.id);
    stream.session?.destroy();
  };
  expect(await ask(session, { te: 'trailers', ':path': '/once' })).toMatchObject({ status: 502 });
  expect(asked).toBe(1);
  // A body that is on its way cannot be sent twice.
  upstream.answer = (stream) => {
    asked += 1;
    stream.session?.goaway(0, (stream.id ?? 3) - 2);
    stream.session?.destroy();
  };
  asked = 0;
  expect(await ask(session, { ...grpc, ':path': '/body' }, message('x'))).toMatchObject({ status: 502 });
  expect(asked).toBe(1);
  session.close();
});

test('an upstream without HTTP/2 is asked over HTTP/1.1', async () => {
  const old = await startHttp2Upstream('old.example.com');
  old.server.removeAllListeners('stream');
  const database = await createTestDatabase();
  const other = await createFixture(database.database, { policy: { allowed_hosts: ['old.example.com'] } });
  const there = await startTestEgress(
    database,
    {},
    { connect: (address, port, options) => old.connect(address, port, { ...options, http2: false }) },
  );
  there.network.names.set('old.example.com', ['93.184.216.34']);
  const session = await connectHttp2(await there.open(other), 'old.example.com');
  expect(await ask(session, { te: 'trailers' })).toMatchObject({ status: 200, body: 'over 1.1' });
  session.close();
  old.close();
});
