import { connect, constants } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { curl, type Door, openTunnel } from './support/client.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { ask, connectHttp2, openHttp2Tunnel } from './support/http2-client.ts';
import { makeListener } from './support/listener.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const host = 'api.example.com';
let fixture: Fixture;
let upstream: Upstream;
let world: TestEgress;
let door: Door;
let plain: Upstream['answer'];

beforeAll(async () => {
  const database = await createTestDatabase();
  upstream = await startUpstream();
  plain = upstream.answer;
  fixture = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
  world = await startTestEgress(database, {
    modelCredentials: { anthropic: 'sk-ant-operator' },
    upstreams: [{ host: 'api.anthropic.com', pathPrefix: '/', target: upstream.origin, scope: 'all' }],
  });
  world.network.names.set(host, ['93.184.216.34']);
  world.network.machines.set('93.184.216.34', upstream.port);
  door = await world.open(fixture);
});
beforeEach(() => {
  upstream.answer = plain;
  upstream.seen.length = 0;
});
afterAll(() => upstream.close());

test('curl speaks HTTP/2 through a tunnel, and the request is recorded as any other', async () => {
  const got = await curl(door, `https://${host}/a/b?q=1`, '--http2', '-w', ' %{http_version} %{http_code}');
  expect(got.stdout).toBe('{"ok":true} 2 200');
  expect(upstream.seen[0]).toMatchObject({ method: 'GET', url: '/a/b?q=1' });
  expect(upstream.seen[0]?.headers.host).toBe(host);
  expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
    ...{ method: 'GET', path: '/a/b', status: 200, decision: 'allowed', rule: `host:${host}` },
  });
});

test('a client that offers both or none is served, each in its own protocol', async () => {
  const one = await curl(door, `https://${host}/`, '--http1.1', '-w', ' %{http_version}');
  expect(one.stdout).toBe('{"ok":true} 1.1');
  const none = await curl(door, `https://${host}/`, '--no-alpn', '-w', ' %{http_version}');
  expect(none.stdout).toBe('{"ok":true} 1.1');
});

test('transparent mode speaks it too', async () => {
  const { port, handle } = await makeListener();
  await world.egress.addListener(fixture.sessionId, handle, 'https');
  const got = await curl(
    door,
    ...[`https://${host}:${port}/t`, '--noproxy', '*', '--resolve', `${host}:${port}:127.0.0.1`],
    ...['-H', `Host: ${host}`, '-w', ' %{http_version}'],
  );
  expect(got.stdout).toBe('{"ok":true} 2');
  expect(upstream.seen[0]?.url).toBe('/t');
});

test('many requests share a connection, and each is judged for itself', async () => {
  upstream.answer = (request, response) => response.end(request.url);
  const session = await connectHttp2(door, host);
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      i % 3 === 0
        ? ask(session, { ':path': `/../${i}` })
        : ask(session, { ':path': `/${i}`, ':method': 'POST' }, `body ${i}`),
    ),
  );
  for (const [i, { status, body }] of answers.entries()) {
    expect([status, body]).toEqual(
      i % 3 === 0 ? [400, expect.stringContaining('http.target')] : [200, `/${i}`],
    );
  }
  expect(upstream.seen).toHaveLength(40);
  expect(upstream.seen.every(({ body, url }) => body === `body ${url.slice(1)}`)).toBe(true);
  session.close();
});

test('credentials of the agent are stripped, ours is put on, and it does not come back', async () => {
  upstream.answer = (request, response) => {
    response.writeHead(200, { 'x-key': String(request.headers['x-api-key']) });
    response.end(`you are ${request.headers['x-api-key']}`);
  };
  const session = await connectHttp2(door, 'api.anthropic.com');
  const body = '{"model":"m","messages":[]}';
  const agent = { 'x-api-key': 'agent', x_api_key: 'agent', authorization: 'agent', cookie: 'agent' };
  const headers = { ':method': 'POST', ':path': '/v1/messages', 'content-length': body.length, ...agent };
  const answer = await ask(session, headers, body);
  expect(answer.headers['x-key']).toBe('***************');
  expect(answer.body).toBe('you are ***************');
  expect(upstream.seen[0]?.rawHeaders.join('\n')).not.toMatch(/agent/);
  expect(upstream.seen[0]?.headers['x-api-key']).toBe('sk-ant-operator');
  expect(upstream.seen[0]?.body).toBe(body);
  session.close();
});

test('server-sent events come one by one, and leaving ends the upstream request', async () => {
  let write: ((text: string) => void) | undefined;
  const gone = new Promise<void>((resolve) => {
    upstream.answer = (_request, response) => {
      response.once('close', () => resolve());
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      write = (text) => response.write(text);
      write('data: 1\n\n');
    };
  });
  const session = await connectHttp2(door, host);
  const stream = session.request({ ':path': '/events' });
  const next = () => new Promise<string>((resolve) => stream.once('data', (data) => resolve(String(data))));
  expect(await next()).toBe('data: 1\n\n');
  const second = next();
  write?.('data: 2\n\n');
  expect(await second).toBe('data: 2\n\n');
  stream.on('error', () => {});
  stream.close(constants.NGHTTP2_CANCEL);
  await gone;
  session.close();
});

test('a client that is gone without a word ends its upstream requests', async () => {
  const gone = new Promise<void>((resolve) => {
    upstream.answer = (_request, response) => {
      response.once('close', () => resolve());
      response.write('data: 1\n\n');
    };
  });
  const secure = await openHttp2Tunnel(door, host);
  const session = connect(`https://${host}`, { createConnection: () => secure });
  session.on('error', () => {});
  const stream = session.request({ ':path': '/events' });
  stream.on('error', () => {});
  await new Promise((resolve) => stream.once('data', resolve));
  secure.destroy();
  await gone;
});

test('a cut answer looks cut, an upstream that breaks is a 502', async () => {
  upstream.answer = (request, response) => {
    if (request.url === '/none') return request.socket.destroy();
    response.writeHead(200, { 'content-length': '100' });
    response.write('half', () => request.socket.destroy());
  };
  const session = await connectHttp2(door, host);
  expect(await ask(session, { ':path': '/none' })).toMatchObject({ status: 502 });
  const cut = await ask(session, { ':path': '/cut' });
  expect(cut).toMatchObject({ status: 200, body: 'half' });
  expect(cut.code).not.toBe(0);
  session.close();
});

test('100-continue, HEAD, and answers without a body', async () => {
  const session = await connectHttp2(door, host);
  const stream = session.request({ ':path': '/up', ':method': 'PUT', expect: '100-continue' });
  await new Promise<void>((resolve) => stream.once('continue', resolve));
  stream.end('x'.repeat(300_000));
  await new Promise((resolve) => stream.resume().once('close', resolve));
  expect(upstream.seen[0]?.body).toHaveLength(300_000);
  expect(await ask(session, { ':method': 'HEAD' })).toMatchObject({ status: 200, body: '', code: 0 });
  upstream.answer = (_request, response) => response.writeHead(204).end();
  expect(await ask(session, {})).toMatchObject({ status: 204, body: '', code: 0 });
  session.close();
});

test('an answer that comes before the body is read ends the stream, and the connection goes on', async () => {
  const session = await connectHttp2(door, 'api.anthropic.com');
  const early = await ask(session, { ':method': 'POST', ':path': '/v1/files' }, Buffer.alloc(3_000_000));
  expect(early).toMatchObject({ status: 403, body: expect.stringContaining('model.endpoint') });
  const body = '{"messages":[]}';
  expect(await ask(session, { ':method': 'POST', ':path': '/v1/messages' }, body)).toMatchObject({
    status: 200,
  });
  session.close();
});

test('a body of 64 MiB goes up and down whole while the reader is slow', async () => {
  const size = 64 * 1024 * 1024;
  upstream.answer = (_request, response) => response.end(Buffer.alloc(size, 7));
  const session = await connectHttp2(door, host);
  const stream = session.request({ ':path': '/big' });
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes % 97 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(bytes).toBe(size);
  upstream.answer = (_request, response, seen) => response.end(String(seen.body.length));
  const up = await ask(session, { ':path': '/up', ':method': 'PUT' }, Buffer.alloc(size, 'a'));
  expect(up.body).toBe(String(size));
  session.close();
});

test('TLS that offers only what nobody speaks here is not agreed on', async () => {
  const socket = await openTunnel(door.port, `${host}:443`);
  if (typeof socket === 'string') throw new Error(socket);
  const failed = new Promise((resolve) => {
    const secure = connectTls({ socket, servername: host, ca: door.ca, ALPNProtocols: ['h3'] });
    secure.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    secure.once('secureConnect', () => resolve(secure.alpnProtocol));
  });
  expect(await failed).toMatch(/ALERT/);
});
