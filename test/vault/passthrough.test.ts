import { createServer } from 'node:https';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { readClientHello } from '../../src/vault/egress/client-hello.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { curl, type Door, openTunnel, readAll } from './support/client.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { selfSigned } from './support/http2-upstream.ts';
import { makeListener } from './support/listener.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';
import { storeVaultCredential } from './support/vault-credential.ts';

const host = 'pinned.example.com';
const certificate = selfSigned(host);
const seen: string[] = [];
const server = createServer(certificate, (request, response) => {
  seen.push(`${request.url} ${request.headers.authorization ?? 'none'}`);
  response.end('from the host itself');
});
let fixture: Fixture;
let world: TestEgress;
let door: Door;
let transparent: number;
let listed: Upstream;

beforeAll(async () => {
  const database = await createTestDatabase();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  listed = await startUpstream();
  fixture = await createFixture(database.database, {
    policy: {
      allowed_hosts: ['listed.example.com'],
      passthrough_hosts: [host, 'private.example.com', 'api.anthropic.com', 'slack.com', '*'],
    },
  });
  await storeVaultCredential(database.database, fixture, host, 'sk-not-for-pinned-hosts');
  world = await startTestEgress(database, { modelCredentials: { anthropic: 'sk-ant-operator' } });
  world.network.names.set(host, ['10.0.0.1', '93.184.216.34']);
  world.network.names.set('private.example.com', ['10.1.2.3']);
  world.network.names.set('listed.example.com', ['93.184.216.35']);
  world.network.machines.set('93.184.216.34', (server.address() as AddressInfo).port);
  world.network.machines.set('93.184.216.35', listed.port);
  door = await world.open(fixture);
  const { port, handle } = await makeListener();
  await world.egress.addListener(fixture.sessionId, handle, 'https');
  transparent = port;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  listed.close();
});
beforeEach(() => {
  seen.length = 0;
  world.network.dialled.length = 0;
});

const last = async () => (await world.records(fixture.sessionId)).at(-1);
/** Resolves with the error's code, or when TLS was agreed on. */
const tried = (secure: TLSSocket) =>
  new Promise<string>((resolve) => {
    secure.once('secureConnect', () => resolve('secure'));
    secure.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    secure.once('close', () => resolve('closed'));
  });
async function tunnelTo(authority: string): Promise<Socket> {
  const socket = await openTunnel(door.port, authority);
  if (typeof socket === 'string') throw new Error(socket);
  return socket;
}

test('a client that trusts the host’s own certificate only gets through, without a credential, recorded with its bytes', async () => {
  const pinned = { port: door.port, ca: certificate.cert };
  const got = await curl(pinned, `https://${host}/a?b`, '-H', 'Authorization: Bearer mine');
  expect(got.stdout).toBe('from the host itself');
  expect(seen).toEqual(['/a?b Bearer mine']);
  expect(world.network.dialled).toEqual(['93.184.216.34:443']);
  await expect.poll(last).toMatchObject({
    ...{ method: 'CONNECT', host, path: '', decision: 'allowed', credential: null, status: 200 },
    rule: `passthrough:${host}`,
    bytesUp: expect.toSatisfy((bytes: number) => bytes > 300),
    bytesDown: expect.toSatisfy((bytes: number) => bytes > 300),
  });
  // The session's own authority is worth nothing there.
  expect((await curl(door, `https://${host}/`)).code).toBe(60);
});

test('in transparent mode too, beside hosts whose TLS is ended as always', async () => {
  const at = (name: string) => [
    ...[`https://${name}:${transparent}/t`, '--noproxy', '*', '-H', `Host: ${name}`],
    ...['--resolve', `${name}:${transparent}:127.0.0.1`],
  ];
  const pinned = { port: door.port, ca: certificate.cert };
  expect((await curl(pinned, ...at(host))).stdout).toBe('from the host itself');
  expect((await curl(door, ...at('listed.example.com'))).stdout).toBe('{"ok":true}');
  expect((await curl(door, ...at('evil.example.org'))).code).toBe(35);
  await expect
    .poll(async () => (await world.records(fixture.sessionId)).slice(-3).map(({ rule }) => rule))
    .toEqual(expect.arrayContaining([`passthrough:${host}`, 'host:listed.example.com', 'host.not_allowed']));
});

test.each([
  ['another host', { servername: 'evil.example.org' }],
  ['no host', { servername: '' }],
])('TLS that asks for %s is cut before a byte of it is passed on', async (_, options) => {
  const socket = await tunnelTo(`${host}:443`);
  expect(await tried(connectTls({ socket, ...options, rejectUnauthorized: false }))).not.toBe('secure');
  await expect.poll(last).toMatchObject({ rule: 'tls.name', decision: 'refused', host });
  expect(seen).toEqual([]);
});

test('what is no TLS is not passed on', async () => {
  for (const bytes of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\x16\x03\x01\x00\x00', 'SSH-2.0-x\r\n']) {
    const socket = await tunnelTo(`${host}:443`);
    socket.write(Buffer.from(bytes, 'latin1'));
    expect(await readAll(socket)).toBe('');
  }
  expect(seen).toEqual([]);
});

test('a hello in pieces is put together', async () => {
  const socket = await tunnelTo(`${host}:443`);
  const hello = await capture({ servername: host });
  for (const byte of hello.subarray(0, 200)) socket.write(Buffer.of(byte));
  socket.write(hello.subarray(200));
  const answer = await readAll(socket, (text) => text.length > 100);
  expect(answer.charCodeAt(0)).toBe(22);
  socket.destroy();
});

test('the address is vetted, other ports are closed, and hosts with rules of their own keep them', async () => {
  expect(await openTunnel(door.port, 'private.example.com:443')).toContain('address.not_public');
  expect(world.network.dialled).toEqual([]);
  expect(await openTunnel(door.port, `${host}:22`)).toContain('port.not_allowed');
  expect(await openTunnel(door.port, `${host}:80`)).toContain('scheme.https_only');
  expect(await openTunnel(door.port, 'slack.com:443')).toContain('host.tools_only');
  expect(await openTunnel(door.port, 'anything.example.org:443')).toContain('host.not_allowed');
  const model = await curl(door, 'https://api.anthropic.com/v1/files');
  expect(model.stdout).toContain('model.endpoint');
});

/** The first bytes that Node's TLS client sends. */
async function capture(options: { servername?: string }): Promise<Buffer> {
  const { createServer: createTcp } = await import('node:net');
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    const listener = createTcp((socket) => {
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (readClientHello(Buffer.concat(chunks)).kind === 'more') return;
        resolve(Buffer.concat(chunks));
        socket.destroy();
        listener.close();
      });
    }).listen(0, '127.0.0.1', () => {
      const raw = connectTcp((listener.address() as AddressInfo).port, '127.0.0.1');
      raw.on('error', () => {});
      connectTls({ socket: raw, ...options, rejectUnauthorized: false }).on('error', () => {});
    });
  });
}

describe('a client hello', async () => {
  const real = await capture({ servername: host });
  const body = real.subarray(9);
  /** As one record, or as several of `size` bytes. */
  const records = (message: Buffer, size = message.byteLength) => {
    const parts: Buffer[] = [];
    for (let at = 0; at < message.byteLength; at += size) {
      const part = message.subarray(at, at + size);
      parts.push(Buffer.from([22, 3, 1, part.byteLength >> 8, part.byteLength & 255]), part);
    }
    return Buffer.concat(parts);
  };
  const message = (inner: Buffer) =>
    Buffer.concat([Buffer.from([1, 0, inner.byteLength >> 8, inner.byteLength & 255]), inner]);
  const extension = (type: number, data: Buffer) =>
    Buffer.concat([Buffer.from([type >> 8, type & 255, data.byteLength >> 8, data.byteLength & 255]), data]);
  const names = (...list: string[]) => {
    const inner = Buffer.concat(
      list.map((name) => Buffer.concat([Buffer.from([0, 0, name.length]), Buffer.from(name)])),
    );
    return extension(0, Buffer.concat([Buffer.from([inner.byteLength >> 8, inner.byteLength & 255]), inner]));
  };
  const hello = (...extensions: Buffer[]) => {
    const all = Buffer.concat(extensions);
    const fixed = Buffer.concat([
      Buffer.from([3, 3]),
      Buffer.alloc(32),
      Buffer.from([0, 0, 2, 0x13, 1, 1, 0]),
    ]);
    return records(
      message(Buffer.concat([fixed, Buffer.from([all.byteLength >> 8, all.byteLength & 255]), all])),
    );
  };

  it('is read, in one record and in many, and asks for more until it is whole', () => {
    expect(readClientHello(real)).toEqual({ kind: 'hello', serverName: host });
    expect(readClientHello(hello(names('a.example')))).toEqual({ kind: 'hello', serverName: 'a.example' });
    for (const size of [1, 7, 100]) {
      expect(readClientHello(records(message(body), size))).toEqual({ kind: 'hello', serverName: host });
    }
    for (let cut = 0; cut < real.byteLength; cut++) {
      expect(readClientHello(real.subarray(0, cut))).toEqual({ kind: 'more' });
    }
  });

  it.each<[string, Buffer]>([
    ['no name', hello(extension(10, Buffer.from([0, 2, 0, 29])))],
    ['two names', hello(names('a.example', 'b.example'))],
    ['names twice', hello(names('a.example'), names('b.example'))],
    ['an encrypted hello', hello(names('a.example'), extension(0xfe0d, Buffer.alloc(8)))],
    ['an empty name', hello(names(''))],
    ['another kind of name', hello(extension(0, Buffer.from([0, 4, 1, 0, 1, 97])))],
    ['a name longer than its list', hello(extension(0, Buffer.from([0, 4, 0, 0, 9, 97])))],
    ['more after the extensions', records(message(Buffer.concat([body, Buffer.from([1])])))],
    ['more in the same record', records(Buffer.concat([message(body), Buffer.from([1])]))],
    ['another message', records(Buffer.concat([Buffer.from([2]), message(body).subarray(1)]))],
    ['another record', Buffer.from([23, 3, 1, 0, 1, 0])],
    ['a record of an old protocol', Buffer.from([22, 2, 0, 0, 1, 1])],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
    ['a length beyond all bounds', records(Buffer.from([1, 255, 255, 255, 0]))],
    ['a record beyond its bounds', Buffer.from([22, 3, 1, 255, 255])],
  ])('is refused with %s', (_, bytes) => {
    expect(readClientHello(bytes)).toMatchObject({ kind: 'no', reason: expect.any(String) });
  });

  it('gives an answer to any bytes at all', () => {
    let seed = 7;
    const next = () => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      return seed;
    };
    for (let i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(real);
      for (let flips = next() % 8; flips >= 0; flips--) bytes[next() % bytes.byteLength] = next() & 255;
      const read = readClientHello(bytes.subarray(0, next() % (bytes.byteLength + 1)));
      expect(['more', 'no', 'hello']).toContain(read.kind);
    }
  });
});
