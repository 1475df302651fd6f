import type { OutgoingHttpHeaders } from 'node:http2';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { forwardedRequestTrailers } from '../../src/vault/egress/header-rules.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { type Door, exchangeInside } from './support/client.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { connectHttp2 } from './support/http2-client.ts';
import { startHttp2Upstream } from './support/http2-upstream.ts';
import { storeVaultAuth } from './support/vault-credential.ts';

const host = 'api.example.com';
const key = 'sk-trailers-credential-123456';
const value = 'v-trailers-variable-7890123';
const other = 'other.example.com';
let placeholder: string;
let withVariable: { fixture: Fixture; door: Door };
let fixture: Fixture;
let world: TestEgress;
let door: Door;
/** All that came, byte for byte. */
let heard = '';
const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1');
    if (/(?:^|\r\n)0\r\n(?:.+\r\n)*\r\n$/.test(heard)) {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
  });
});

beforeAll(async () => {
  const database = await createTestDatabase();
  fixture = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
  await storeVaultAuth(
    database.database,
    fixture,
    {
      type: 'header',
      headers: [{ name: 'X-Key', value: key }],
      match: { host, path_prefix: '/keyed', methods: null },
    },
    'key',
  );
  world = await startTestEgress(database);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  world.network.names.set(host, ['93.184.216.34']);
  world.network.machines.set('93.184.216.34', (server.address() as AddressInfo).port);
  door = await world.open(fixture);
  const second = await createFixture(database.database, { policy: { allowed_hosts: [host, other] } });
  const variable = {
    ...{ type: 'environment_variable', secret_name: 'SOME_TOKEN', secret_value: value },
    networking: { type: 'limited', allowed_hosts: [host] },
    injection_location: { header: true, body: true },
  };
  await storeVaultAuth(database.database, second, variable, 'variable');
  world.network.names.set(other, ['93.184.216.34']);
  const { environment } = await world.egress.openSession(second.organizationId, second.sessionId);
  placeholder = environment.SOME_TOKEN ?? '';
  withVariable = { fixture: second, door: await world.open(second) };
});
afterAll(() => server.close());
beforeEach(() => {
  heard = '';
});

type Fields = [string, string][];

/** Sends `hi` in chunks with these after it; gives the answer with its head, as far as it comes. */
async function overHttp1(
  path: string,
  trailers: Fields,
  at = door,
  to = host,
  more = ['x-more', '1'],
): Promise<string> {
  const lines = trailers.map(([name, text]) => `${name}: ${text}\r\n`).join('');
  const head = `POST ${path} HTTP/1.1\r\nHost: ${to}\r\nX-Said: before\r\n${more.join(': ')}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  return exchangeInside(at, to, `${head}2\r\nhi\r\n0\r\n${lines}\r\n`, (text) => /(?:ok|})$/.test(text));
}

async function overHttp2(
  path: string,
  trailers: Fields,
  at = door,
  to = host,
  more = ['x-more', '1'],
): Promise<string> {
  const session = await connectHttp2(at, to);
  const asked = { ':method': 'POST', ':path': path, 'x-said': 'before', [more[0] ?? '']: more[1] };
  const stream = session.request(asked, { endStream: false, waitForTrailers: true });
  const named: Record<string, string[]> = {};
  for (const [name, text] of trailers) {
    named[name.toLowerCase()] = [...(named[name.toLowerCase()] ?? []), text];
  }
  stream.on('wantTrailers', () => stream.sendTrailers(named as OutgoingHttpHeaders));
  stream.on('error', () => {});
  let answer = '';
  stream.on('response', (headers) => {
    answer += `HTTP/2 ${headers[':status']}\r\n`;
  });
  stream.on('data', (chunk: Buffer) => {
    answer += chunk.toString();
  });
  stream.end('hi');
  await new Promise((resolve) => stream.once('close', resolve));
  session.close();
  return answer;
}

const clients: [string, typeof overHttp1][] = [
  ['HTTP/1.1', overHttp1],
  ['HTTP/2', overHttp2],
];

describe.each(clients)('over %s', (protocol, send) => {
  test('what follows the body of a request goes on, without what frames, routes or proves who somebody is', async () => {
    // HTTP/2 itself has no place for these, and its library takes the request back.
    const framing: Fields =
      protocol === 'HTTP/2'
        ? []
        : [
            ['Transfer-Encoding', 'evil'],
            ['TE', 'evil'],
            ['Host', 'evil.example'],
            ['Content-Length', '1'],
          ];
    const answer = await send('/t', [
      ['X-Sum', '7'],
      ['Authorization', 'evil'],
      ['X_Api_Key', 'evil'],
      ['Content-Type', 'evil'],
      ['X-Forwarded-For', 'evil'],
      ['X-Tagalong-Session', 'evil'],
      ['X-Said', 'evil'],
      ['X-Sum', '8'],
      ...framing,
    ]);
    expect(answer).toMatch(/ 200[\s\S]*ok$/);
    expect(heard.toLowerCase()).toMatch(/2\r\nhi\r\n0\r\nx-sum: 7\r\nx-sum: 8\r\n\r\n$/);
    expect(heard).not.toContain('evil');
  });

  test('none of them stands in the place of the credential that was put on', async () => {
    expect(
      await send('/keyed', [
        ['X_Key', 'evil'],
        ['x-sum', '7'],
      ]),
    ).toMatch(/ 200[\s\S]*ok$/);
    expect(heard).toContain(key);
    expect(heard.toLowerCase()).toMatch(/0\r\nx-sum: 7\r\n\r\n$/);
    expect(heard).not.toContain('evil');
  });

  test.each<[string, string, Fields, string]>([
    ['a secret', '/t', [['x-sum', key]], 'secret.outbound'],
    ['one in base64', '/t', [['x-sum', Buffer.from(key).toString('base64')]], 'secret.outbound'],
    [
      'one whose letters are escaped',
      '/t',
      [['x-sum', `%${key.charCodeAt(0).toString(16)}${key.slice(1)}`]],
      'secret.outbound',
    ],
    ['one that was put on', '/keyed', [['x-sum', key]], 'secret.outbound'],
    [
      'more than a hundred',
      '/t',
      Array.from({ length: 101 }, (): [string, string] => ['x', 'y']),
      'http.trailers',
    ],
  ])('%s ends the request before its end', async (_, path, trailers, rule) => {
    const answer = await send(path, trailers);
    expect(answer).toContain(rule);
    expect(answer).toMatch(/ (?:403|431)/);
    expect(heard).not.toContain('0\r\n');
    expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
      decision: 'refused',
      rule,
      path,
    });
  });
});

describe.each(clients)('over %s to an upstream of HTTP/2', (_, send) => {
  const grpc = 'grpc.example.com';
  const secret = 'sk-trailers-over-http2-123456';
  const upstream = startHttp2Upstream(grpc);
  const got: { body: string; trailers: Fields; whole: boolean }[] = [];
  let other: { world: TestEgress; fixture: Fixture; door: Door };

  beforeAll(async () => {
    const { connect } = await upstream;
    (await upstream).answer = (stream) => {
      const seen = { body: '', trailers: [] as Fields, whole: false };
      got.push(seen);
      stream.on('trailers', (_named, _flags, fields) => {
        const flat = (fields as unknown as string[]).map(String);
        seen.trailers = flat.flatMap((name, i): Fields => (i % 2 === 0 ? [[name, flat[i + 1] ?? '']] : []));
      });
      stream.on('data', (chunk: Buffer) => {
        seen.body += chunk.toString();
      });
      stream.on('end', () => {
        if (stream.aborted || stream.rstCode !== 0) return;
        seen.whole = true;
        stream.respond({ ':status': 200, 'content-length': 2 });
        stream.end('ok');
      });
    };
    const database = await createTestDatabase();
    const made = await createFixture(database.database, { policy: { allowed_hosts: [grpc] } });
    const match = { host: grpc, path_prefix: '/keyed', methods: null };
    const headers = [{ name: 'X-Key', value: secret }];
    await storeVaultAuth(database.database, made, { type: 'header', headers, match }, 'key');
    const there = await startTestEgress(database, {}, { connect });
    there.network.names.set(grpc, ['93.184.216.34']);
    other = { world: there, fixture: made, door: await there.open(made) };
  });
  afterAll(async () => (await upstream).close());
  beforeEach(() => {
    got.length = 0;
  });

  test('they go on by the same rules, and without any the request is whole too', async () => {
    const sent: Fields = [
      ['x-sum', '7'],
      ['authorization', 'evil'],
      ['x_key', 'evil'],
      ['x-sum', '8'],
    ];
    expect(await send('/keyed', sent, other.door, grpc, ['te', 'trailers'])).toMatch(/ok$/);
    expect(await send('/keyed', [], other.door, grpc, ['te', 'trailers'])).toMatch(/ok$/);
    expect(got).toEqual([
      {
        body: 'hi',
        trailers: [
          ['x-sum', '7'],
          ['x-sum', '8'],
        ],
        whole: true,
      },
      { body: 'hi', trailers: [], whole: true },
    ]);
    expect((await upstream).seen.at(-1)).toMatchObject({ 'x-key': secret });
    expect(new Set((await upstream).protocols)).toEqual(new Set(['h2']));
  });

  test('a secret in one of them ends the request before its end', async () => {
    const answer = await send('/t', [['x-sum', secret]], other.door, grpc, ['te', 'trailers']);
    expect(answer).toContain('secret.outbound');
    expect(got).toMatchObject([{ trailers: [], whole: false }]);
    expect((await other.world.records(other.fixture.sessionId)).at(-1)).toMatchObject({
      ...{ decision: 'refused', rule: 'secret.outbound', status: 403 },
    });
  });
});

test.each(clients)('a placeholder in one of them is refused for every host, over %s', async (_, send) => {
  const { fixture: of, door: at } = withVariable;
  expect(await send('/v', [['x-sum', '7']], at)).toMatch(/ok$/);
  expect(heard.toLowerCase()).toMatch(/hi\r\n0\r\nx-sum: 7\r\n\r\n$/);
  for (const to of [host, other]) {
    for (const name of ['x-sum', 'authorization']) {
      heard = '';
      const answer = await send('/v', [[name, `key ${placeholder}`]], at, to);
      expect(answer).toContain('credential.placeholder');
      expect(heard).not.toContain('0\r\n');
      expect((await world.records(of.sessionId)).at(-1)).toMatchObject({
        ...{ decision: 'refused', rule: 'credential.placeholder', host: to },
      });
    }
  }
  expect(heard).not.toContain(placeholder);
  expect(heard).not.toContain(value);
});

test('none but what may stand there, and what was not said before', () => {
  const sent = [
    'grpc-x',
    '1',
    'Range',
    'a',
    'If-Match',
    'a',
    'Cookie',
    'a',
    'Via',
    'a',
    'x_said',
    'a',
    'digest',
    '2',
  ];
  expect(forwardedRequestTrailers(sent, ['X-Said', 'b', 'grpc', 'x'])).toEqual([
    'grpc-x',
    '1',
    'digest',
    '2',
  ]);
});
