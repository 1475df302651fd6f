import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { ProxyAgent, WebSocket } from 'undici';
import { afterAll, beforeEach, describe, expect, it, test } from 'vitest';
import { Redaction } from '../../src/vault/egress/redaction.ts';
import { FrameFilter } from '../../src/vault/egress/websocket-frames.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { type Door, exchangeInside, openSecureTunnel, readAll } from './support/client.ts';
import { startTestEgress } from './support/egress.ts';
import { storeVaultCredential } from './support/vault-credential.ts';

const [host, other] = ['ws.example.com', 'bare.example.com'];
const secret = 'sk-websocket-0123456789';
const masked = '*'.repeat(secret.length);
const database = await createTestDatabase();
const fixture = await createFixture(database.database, { policy: { allowed_hosts: [host, other] } });
await storeVaultCredential(database.database, fixture, host, secret);

let seen: IncomingMessage[] = [];
let received = '';
let answer: (socket: Duplex, request: IncomingMessage) => unknown = () => {};
let extra = '';
const server = createServer((request, response) => {
  response.writeHead(403, { 'x-said': String(request.headers.authorization) });
  response.end(`no socket for ${request.headers.authorization}`);
});
server.on('upgrade', (request, socket) => {
  seen.push(request);
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash('sha1').update(key).digest('base64');
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${extra}X-Said: ${request.headers.authorization}\r\n\r\n`,
  );
  answer(socket, request);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const target = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
const world = await startTestEgress(database, {
  upstreams: [host, other].map((name) => ({ host: name, pathPrefix: '/', target, scope: 'all' as const })),
});
const door: Door = await world.open(fixture);
afterAll(() => {
  server.close();
  server.closeAllConnections();
});
beforeEach(() => {
  seen = [];
  received = '';
  extra = '';
  answer = () => {};
});

/** One frame as a server, or with a mask as a client, sends it. */
function frame(opcode: number, payload: Buffer | string, final = true, mask?: Buffer): Buffer {
  const body = Buffer.from(payload);
  const size = body.byteLength;
  const head = Buffer.alloc(size > 65_535 ? 10 : size > 125 ? 4 : 2);
  head[0] = (final ? 0x80 : 0) | opcode;
  head[1] = (mask ? 0x80 : 0) | (size > 65_535 ? 127 : size > 125 ? 126 : size);
  if (head.byteLength === 4) head.writeUInt16BE(size, 2);
  if (head.byteLength === 10) head.writeBigUInt64BE(BigInt(size), 2);
  if (!mask) return Buffer.concat([head, body]);
  return Buffer.concat([head, mask, body.map((byte, i) => byte ^ (mask[i % 4] ?? 0))]);
}

interface Message {
  opcode: number;
  text: string;
}

/** Puts frames together as a receiver does. */
function messagesOf(bytes: Buffer): Message[] {
  const messages: Message[] = [];
  let open: Message | undefined;
  for (let at = 0; at < bytes.byteLength; ) {
    const first = bytes.readUInt8(at);
    const short = bytes.readUInt8(at + 1) & 0x7f;
    const isMasked = (bytes.readUInt8(at + 1) & 0x80) !== 0;
    at += 2;
    let size = short;
    if (short === 126) size = bytes.readUInt16BE(at);
    if (short === 127) size = Number(bytes.readBigUInt64BE(at));
    at += short === 127 ? 8 : short === 126 ? 2 : 0;
    const mask = isMasked ? bytes.subarray(at, at + 4) : Buffer.alloc(4);
    at += isMasked ? 4 : 0;
    const text = Buffer.from(bytes.subarray(at, at + size).map((byte, i) => byte ^ (mask[i % 4] ?? 0)));
    at += size;
    const opcode = first & 0x0f;
    if (opcode >= 8) messages.push({ opcode, text: text.toString('latin1') });
    else if (opcode > 0) open = { opcode, text: text.toString('latin1') };
    else if (open) open.text += text.toString('latin1');
    if (opcode < 8 && first & 0x80 && open) messages.push(open);
  }
  return messages;
}

function tried<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

const key = Buffer.alloc(16, 1).toString('base64');
const ask = (name: string, more = '') =>
  `GET /s HTTP/1.1\r\nHost: ${name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`;
async function lastRecord() {
  return (await world.records(fixture.sessionId)).at(-1);
}

test('a credential that comes back is masked in text, binary, ping, close and headers, and recorded', async () => {
  answer = (socket) => {
    socket.write(frame(1, `you are ${secret}!`));
    socket.write(frame(2, Buffer.from(Buffer.from(`x${secret}`).toString('base64'))));
    socket.write(frame(9, secret));
    // In the middle of a message a ping may come.
    socket.write(frame(1, `cut ${secret.slice(0, 9)}`, false));
    socket.write(frame(9, 'still there?'));
    socket.write(frame(0, `${secret.slice(9)} end`));
    socket.end(frame(8, Buffer.concat([Buffer.from([0x03, 0xe8]), Buffer.from(secret)])));
  };
  const got = await exchangeInside(door, host, ask(host, 'Sec-WebSocket-Extensions: permessage-deflate\r\n'));
  expect(seen[0]?.headers.authorization).toBe(`Bearer ${secret}`);
  expect(seen[0]?.headers).not.toHaveProperty('sec-websocket-extensions');
  const end = got.indexOf('\r\n\r\n') + 4;
  expect(got.slice(0, end)).toContain(`X-Said: Bearer ${masked}`);
  const messages = messagesOf(Buffer.from(got.slice(end), 'latin1'));
  expect(got).not.toContain(secret);
  expect(messages).toEqual([
    { opcode: 1, text: `you are ${masked}!` },
    { opcode: 2, text: expect.stringMatching(/^.{0,4}\*{25,}.{0,4}$/) },
    { opcode: 9, text: masked },
    { opcode: 9, text: 'still there?' },
    { opcode: 1, text: `cut ${masked} end` },
    { opcode: 8, text: `\x03\xe8${masked}` },
  ]);
  await expect.poll(lastRecord).toMatchObject({ status: 101, rule: `host:${host} redacted:6` });
});

test('a refused upgrade is masked too', async () => {
  server.removeAllListeners('upgrade');
  const got = await exchangeInside(door, host, ask(host));
  expect(got).toMatch(/^HTTP\/1\.1 403 /);
  expect(got).not.toContain(secret);
  expect(got).toContain(`no socket for Bearer ${masked}`);
  server.on('upgrade', upgrade);
});
const [upgrade] = server.listeners('upgrade') as [(request: IncomingMessage, socket: Duplex) => void];

test('an upstream that uses an extension nobody asked for is not believed', async () => {
  extra = 'Sec-WebSocket-Extensions: permessage-deflate\r\n';
  expect(await exchangeInside(door, host, ask(host))).toMatch(/^HTTP\/1\.1 502 .*upstream\.malformed/);
});

test('frames that are broken end the connection', async () => {
  for (const bytes of [
    Buffer.from([0xc1, 1, 65]),
    Buffer.from([0x81, 0x81, 1, 2, 3, 4, 65]),
    Buffer.from([0x83, 0]),
    Buffer.from([0x80, 1, 65]),
    Buffer.from([0x09, 0]),
    Buffer.from([0x81, 126, 0, 1, 65]),
    Buffer.from([0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]),
  ]) {
    answer = (socket) => socket.write(bytes);
    const got = await exchangeInside(door, host, ask(host));
    expect(got.slice(got.indexOf('\r\n\r\n') + 4)).toBe('');
    await expect.poll(lastRecord).toMatchObject({ rule: 'websocket.malformed', decision: 'refused' });
  }
});

test('a secret on its way to a host that gets none never arrives, in whatever pieces it is sent', async () => {
  const mask = randomBytes(4);
  for (const pieces of [
    [frame(1, `take ${secret}`, true, mask)],
    [frame(2, secret.slice(0, 8), false, mask), frame(0, secret.slice(8), true, randomBytes(4))],
    [frame(9, secret, true, mask)],
    [frame(1, Buffer.from(secret).toString('hex'), true, mask)],
  ]) {
    received = '';
    const secure = await openSecureTunnel(door, other);
    secure.write(ask(other));
    await new Promise((resolve) => secure.once('data', resolve));
    secure.write(frame(1, 'hello', true, mask));
    for (const piece of pieces) for (const byte of piece) secure.write(Buffer.of(byte));
    await readAll(secure);
    const clear = messagesOf(Buffer.from(received, 'latin1')).map(({ text }) => text);
    expect(clear[0]).toBe('hello');
    expect(clear.join()).not.toContain(secret.slice(0, 6));
    await expect
      .poll(lastRecord)
      .toMatchObject({ rule: 'secret.outbound', decision: 'refused', host: other });
  }
});

test('a real client talks through the search, with a large message each way', async () => {
  const big = 'ä'.repeat(400_000);
  answer = (socket) => {
    let got = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      // The pieces of a cut frame are put together when the rest has come.
      if (got.byteLength < Buffer.byteLength(big)) return;
      const whole = tried(() => messagesOf(got).at(-1)?.text) ?? '';
      if (whole.length < Buffer.byteLength(big)) return;
      socket.write(frame(1, Buffer.from(whole, 'latin1')));
    });
  };
  for (const name of [host, other]) {
    const agent = new ProxyAgent({ uri: `http://127.0.0.1:${door.port}`, requestTls: { ca: door.ca } });
    const socket = new WebSocket(`wss://${name}/`, { dispatcher: agent });
    const echoed = await new Promise<unknown>((resolve, reject) => {
      socket.addEventListener('error', (event) => reject(event.error));
      socket.addEventListener('open', () => socket.send(big));
      socket.addEventListener('message', (event) => resolve(event.data));
    });
    expect(echoed === big).toBe(true);
    socket.close();
    await agent.destroy();
  }
});

describe('the filter of frames', () => {
  const run = async (bytes: Buffer, cuts: (left: number) => number) => {
    const filter = new FrameFilter({ search: new Redaction([secret]), masked: false });
    const out: Buffer[] = [];
    filter.on('data', (chunk: Buffer) => out.push(chunk));
    for (let at = 0; at < bytes.byteLength; ) {
      const size = Math.max(1, cuts(bytes.byteLength - at));
      filter.write(bytes.subarray(at, at + size));
      at += size;
    }
    await new Promise((resolve) => filter.end(resolve));
    return Buffer.concat(out);
  };

  it('finds a secret cut at every byte between two frames', async () => {
    for (let cut = 0; cut <= secret.length; cut++) {
      const bytes = Buffer.concat([
        frame(1, `a${secret.slice(0, cut)}`, false),
        frame(0, `${secret.slice(cut)}z`),
      ]);
      expect(messagesOf(await run(bytes, () => 1))).toEqual([{ opcode: 1, text: `a${masked}z` }]);
    }
  });

  it('says the same as a search through the whole message, whatever the frames and the pieces are', async () => {
    let seed = 42;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      return seed % below;
    };
    for (let round = 0; round < 300; round++) {
      const wanted: Message[] = [];
      const frames: Buffer[] = [];
      for (let count = random(4); count >= 0; count--) {
        let text = '';
        for (let words = random(12); words >= 0; words--) {
          text += random(3) === 0 ? secret : secret.slice(0, random(secret.length)) + 'x'.repeat(random(60));
        }
        const opcode = 1 + random(2);
        let first = true;
        for (let at = 0; first || at < text.length; ) {
          const size = 1 + random(text.length + 1);
          const isLast = at + size >= text.length;
          frames.push(frame(first ? opcode : 0, text.slice(at, at + size), isLast));
          if (!isLast && random(3) === 0) {
            frames.push(frame(9, 'p'));
            wanted.push({ opcode: 9, text: 'p' });
          }
          first = false;
          at += size;
        }
        wanted.push({ opcode, text: new Redaction([secret]).text(text) });
      }
      expect(messagesOf(await run(Buffer.concat(frames), (left) => 1 + random(left)))).toEqual(wanted);
    }
  });
});
