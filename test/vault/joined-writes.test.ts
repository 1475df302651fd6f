import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { passedBy } from '../../src/vault/egress/garbage.ts';
import { Http1Response } from '../../src/vault/egress/http1-response.ts';
import { writeJoined } from '../../src/vault/egress/joined-writes.ts';

/** A sink that keeps what each write brought. */
function makeSink() {
  const writes: number[][] = [];
  const sink = new Writable({
    highWaterMark: 64 * 1024,
    write: (chunk: Buffer, _encoding, done) => {
      writes.push([chunk.byteLength]);
      setImmediate(done);
    },
    writev: (chunks, done) => {
      writes.push(chunks.map(({ chunk }: { chunk: Buffer }) => chunk.byteLength));
      setImmediate(done);
    },
  });
  return { sink, writes };
}

const large = Buffer.alloc(16 * 1024);

it('sends large pieces that came in one go together, and says when to wait', async () => {
  const { sink, writes } = makeSink();
  expect([1, 2, 3, 4].map(() => writeJoined(sink, large))).toEqual([true, true, true, false]);
  expect(writes).toEqual([]);
  await turn();
  expect(writes).toEqual([[16_384, 16_384, 16_384, 16_384]]);
  await new Promise((resolve) => sink.once('drain', resolve));
  writeJoined(sink, large);
  await turn();
  expect(writes).toHaveLength(2);
});

it('sends a small piece at once, with all before it', () => {
  const { sink, writes } = makeSink();
  writeJoined(sink, Buffer.alloc(3));
  expect(writes).toEqual([[3]]);
  const other = makeSink();
  writeJoined(other.sink, large);
  writeJoined(other.sink, Buffer.alloc(5));
  expect(other.writes).toEqual([[16_384, 5]]);
});

it('loses nothing when the sink ends or breaks before they leave', async () => {
  const { sink, writes } = makeSink();
  writeJoined(sink, large);
  sink.end(Buffer.alloc(2));
  await new Promise((resolve) => sink.once('finish', resolve));
  expect(writes.flat()).toEqual([16_384, 2]);
  const broken = makeSink().sink.on('error', () => {});
  writeJoined(broken, large);
  broken.destroy(new Error('gone'));
  await turn();
  expect(broken.destroyed).toBe(true);
});

it('gives a client all that came of an answer that breaks off', async () => {
  const server = createServer((socket) => {
    const response = new Http1Response(socket, false, true, () => {});
    response.writeHead(200, { 'content-length': 1_000_000 });
    for (let i = 0; i < 4; i++) response.write(large);
    response.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  let bytes = 0;
  client.on('data', (chunk) => {
    bytes += chunk.byteLength;
  });
  await once(client, 'close');
  server.close();
  expect(bytes).toBeGreaterThan(4 * large.byteLength);
});

const { gc } = globalThis;
afterEach(() => {
  globalThis.gc = gc;
});

it('collects what is young every four MiB that pass by, and needs no collector', () => {
  const collect = vi.fn();
  globalThis.gc = collect as unknown as NonNullable<typeof gc>;
  for (let i = 0; i < 1024; i++) passedBy(16 * 1024);
  expect(collect.mock.calls).toEqual([1, 2, 3, 4].map(() => [{ type: 'minor' }]));
  globalThis.gc = undefined;
  passedBy(64 * 1024 * 1024);
});
