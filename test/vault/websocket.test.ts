import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { ProxyAgent, WebSocket } from 'undici';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { type Door, exchangeInside } from './support/client.ts';
import { startTestEgress } from './support/egress.ts';
import { echoWebSocket } from './support/web-socket-server.ts';

const host = 'ws.example.com';
const database = await createTestDatabase();
const fixture = await createFixture(database.database, {
  provider: 'slack',
  policy: { allowed_hosts: [host] },
});
let onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void = echoWebSocket;
let seen: IncomingMessage[] = [];
const server = createServer((request, response) => {
  seen.push(request);
  response.writeHead(404, { 'x-why': 'no socket here' }).end('not found');
});
server.on('upgrade', (request, socket, head) => {
  seen.push(request);
  onUpgrade(request, socket, head);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;
const world = await startTestEgress(database, {
  modelCredentials: { anthropic: 'sk-ant-operator' },
  upstreams: [{ host, pathPrefix: '/', target: `http://127.0.0.1:${port}/`, scope: 'all' }],
});
const door: Door = await world.open(fixture);
afterAll(() => {
  server.close();
  server.closeAllConnections();
});
beforeEach(() => {
  seen = [];
  onUpgrade = echoWebSocket;
});

const key = Buffer.alloc(16, 1).toString('base64');
const ask = (
  headers = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n`,
) => `GET /socket HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`;

async function settled(path: string) {
  for (;;) {
    const row = (await world.records(fixture.sessionId)).findLast((each) => each.path === path);
    if (row) return row;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a real client talks through, in both directions, and the connection is recorded at its end', async () => {
  const agent = new ProxyAgent({ uri: `http://127.0.0.1:${door.port}`, requestTls: { ca: door.ca } });
  const socket = new WebSocket(`wss://${host}/chat?room=1`, {
    dispatcher: agent,
    headers: { authorization: 'Bearer mine', 'x-api-key': 'mine', cookie: 'a=b' },
  });
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('error', (event) => reject(event.error));
    socket.addEventListener('open', () => socket.send('one'));
    socket.addEventListener('message', (event) => {
      said.push(String(event.data));
      if (said.length === 1) socket.send('two');
      else socket.close();
    });
    socket.addEventListener('close', () => resolve());
  });
  await agent.close();
  expect(said).toEqual(['echo one', 'echo two']);
  expect(seen[0]?.url).toBe('/chat?room=1');
  expect(seen[0]?.headers).not.toHaveProperty('authorization');
  expect(seen[0]?.headers).not.toHaveProperty('x-api-key');
  expect(seen[0]?.headers).not.toHaveProperty('cookie');
  const row = await settled('/chat');
  expect(row).toMatchObject({ status: 101, decision: 'allowed', rule: `host:${host}` });
  expect(row.bytesUp).toBeGreaterThan(10);
  expect(row.bytesDown).toBeGreaterThan(10);
});

test('what the upstream says of the connection is not believed', async () => {
  const answer = await exchangeInside(door, host, ask(), (text) => text.includes('\r\n\r\n'));
  expect(answer).toMatch(/^HTTP\/1\.1 101 /);
  expect(answer).not.toMatch(/x-tagalong-forged|alt-svc/i);
  expect(answer.match(/^upgrade:/gim)).toHaveLength(1);
});

test('an upstream that has no WebSocket there is quoted, not turned into one', async () => {
  onUpgrade = (_request, socket) => {
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nX-Why: none\r\n\r\nnot found');
  };
  const answer = await exchangeInside(door, host, ask());
  expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  expect(answer).toMatch(/X-Why: none\r\n[\s\S]*not found$/);
});

test('other protocols, and a WebSocket that is not asked for properly, are refused and not passed on', async () => {
  for (const headers of [
    'Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n',
    `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n`,
    `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n`,
    `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 12\r\n`,
    `Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n`,
    `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nContent-Length: 5\r\n`,
  ]) {
    const answer = await exchangeInside(
      door,
      host,
      `${ask(headers)}GET /smuggled HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 (501|400) Egress refused/);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  }
  expect(seen).toEqual([]);
});

test('what follows a refused upgrade is never read as a request', async () => {
  onUpgrade = (_request, socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await exchangeInside(door, host, `${ask()}GET /second HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  expect(seen.map(({ url }) => url)).toEqual(['/socket']);
});

test('Host must name the tunnel', async () => {
  const answer = await exchangeInside(door, host, ask().replace(`Host: ${host}`, 'Host: evil.example'));
  expect(answer).toMatch(/^HTTP\/1\.1 421 /);
});

test('the model hosts take no WebSocket, which their own rules could not read', async () => {
  const answer = await exchangeInside(
    door,
    'api.anthropic.com',
    ask().replace(`Host: ${host}`, 'Host: api.anthropic.com'),
  );
  expect(answer).toMatch(/^HTTP\/1\.1 501 /);
});

test('an upstream that breaks off ends the client’s connection, and the other way round', async () => {
  onUpgrade = (request, socket, head) => {
    echoWebSocket(request, socket, head);
    setTimeout(() => socket.destroy(), 50);
  };
  expect(await exchangeInside(door, host, ask())).toMatch(/^HTTP\/1\.1 101 /);
  const gone = new Promise<void>((resolve) => {
    onUpgrade = (request, socket, head) => {
      echoWebSocket(request, socket, head);
      socket.once('end', () => resolve());
    };
  });
  await exchangeInside(door, host, ask(), (text) => text.includes('\r\n\r\n'));
  await gone;
});
