import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueCertificate } from './egress/certificate.ts';
import { openEgressDatabase } from './egress/database.ts';
import type { LoadOrder, LoadResult } from './egress/load.ts';
import { type Peer, startPeers } from './egress/peers.ts';
import { memoryMib, pin, processorSeconds, startHelper } from './egress/process.ts';
import { toRows } from './egress/rows.ts';
import { nodeHost, quickHost, startUpstreams } from './egress/upstream.ts';
import type { Row } from './table.ts';

export interface EgressOptions {
  rounds: number;
  durationMs: number;
  profileFolder: string | undefined;
  /** Only measures whose name holds this. */
  match: string;
}

/** What is asked of each peer, over and over. */
export interface Measure {
  name: string;
  host: string;
  order:
    | { kind: 'requests' | 'connections'; connections: number; durationMs: number }
    | { kind: 'download' | 'upload'; bytes: number }
    | { kind: 'events'; count: number };
}

/** One peer's result in one round. */
export interface Sample extends LoadResult {
  /** Of the peer's processes; of what stands between only. */
  processorSeconds: number;
}

/** By measure, then by peer. */
export type Samples = Map<Measure, Map<Peer, Sample[]>>;

const streamBytes = 256 * 1024 * 1024;

function measures(durationMs: number): Measure[] {
  const requests = (connections: number): Measure => ({
    name: `small GET, ${connections} connection${connections === 1 ? '' : 's'}`,
    host: quickHost,
    order: { kind: 'requests', connections, durationMs },
  });
  return [
    requests(1),
    requests(16),
    requests(64),
    {
      name: 'new TLS connections, 16 at once',
      host: quickHost,
      order: { kind: 'connections', connections: 16, durationMs },
    },
    { name: '256 MiB down', host: quickHost, order: { kind: 'download', bytes: streamBytes } },
    { name: '256 MiB up', host: nodeHost, order: { kind: 'upload', bytes: streamBytes } },
    { name: 'server-sent events', host: nodeHost, order: { kind: 'events', count: 50 } },
  ];
}

/**
 * The proxy of sessions beside its peers: load and upstream on one core, what is measured on the other, in rounds that
 * take turns. Ours reads its policy from a real Postgres, puts a credential on, searches what comes back for it, and
 * records every request.
 */
export async function measureEgress({
  rounds,
  durationMs,
  profileFolder,
  match,
}: EgressOptions): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  const token = randomBytes(24).toString('base64url');
  const certificate = await issueCertificate([quickHost, nodeHost, 'localhost']);
  const database = await openEgressDatabase(token, 1);
  // Beside the load: what is measured has its core to itself. What it starts from now on inherits that.
  pin(database.pid, 0);
  const upstream = await startUpstreams(folder, certificate, token, streamBytes);
  const load = startHelper('load.ts', 0);
  const peers: Peer[] = [];
  try {
    const started = await startPeers({ folder, upstream, certificate, database, profileFolder });
    peers.push(...started.peers);
    const run = async (peer: Peer, { host, order }: Measure): Promise<Sample> => {
      const before = peer.pid ? processorSeconds(peer.pid) : 0;
      const door = peer.door(host);
      const result = await load.ask<LoadResult>({
        ...{ door, host, token: peer.bare ? token : undefined },
        ...order,
      } satisfies LoadOrder);
      return { ...result, processorSeconds: peer.pid ? processorSeconds(peer.pid) - before : 0 };
    };
    const samples: Samples = new Map();
    const idle = new Map(peers.map((peer) => [peer, peer.pid ? memoryMib(peer.pid).now : 0]));
    for (const measure of measures(durationMs).filter(({ name }) => name.includes(match))) {
      const byPeer = new Map(peers.map((peer): [Peer, Sample[]] => [peer, []]));
      samples.set(measure, byPeer);
      if ('durationMs' in measure.order) {
        const short = { ...measure, order: { ...measure.order, durationMs: 500 } };
        for (const peer of peers) await run(peer, short);
      }
      for (let round = 0; round < rounds; round++) {
        const turn = round % peers.length;
        for (const peer of [...peers.slice(turn), ...peers.slice(0, turn)]) {
          byPeer.get(peer)?.push(await run(peer, measure));
        }
      }
    }
    const memory = new Map(
      peers.map((peer) => [
        peer,
        { idle: idle.get(peer) ?? 0, peak: peer.pid ? memoryMib(peer.pid).peak : 0 },
      ]),
    );
    return toRows(samples, memory, started.missing);
  } finally {
    for (const peer of peers) peer.stop();
    load.stop();
    upstream.stop();
    await database.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
