import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueCertificate } from './egress/certificate.ts';
import { openEgressDatabase } from './egress/database.ts';
import { startEgressHelper } from './egress/egress-helper.ts';
import type { LoadOrder, LoadResult } from './egress/load.ts';
import { startHelper } from './egress/process.ts';
import { nodeHost, quickHost, startUpstreams } from './egress/upstream.ts';
import { median, type Row } from './table.ts';

const calmSessions = 8;
const perSecond = 200;
const floodConnections = 64;

/**
 * Sessions at a steady pace, alone and while another one floods, under the limits that are the default. The flooder's
 * own process comes after all others on the machine: it is the proxy that is measured, not the scheduler.
 */
export async function measureFlood(rounds: number, durationMs: number): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  const token = randomBytes(24).toString('base64url');
  const certificate = await issueCertificate([quickHost, nodeHost]);
  const database = await openEgressDatabase(token, calmSessions + 1);
  const upstream = await startUpstreams(folder, certificate, token, 0);
  const { helper, doors } = await startEgressHelper({
    ...{ folder, certificate, database, upstream },
    sessions: database.sessions,
  });
  const calm = Array.from({ length: calmSessions }, () => startHelper('load.ts', 0));
  const flooder = startHelper('load.ts', 0);
  setPriority(flooder.pid, 19);
  try {
    const order = (index: number, connections: number): LoadOrder & { kind: 'requests' } => ({
      door: { port: doors[index]?.port ?? 0, ca: doors[index]?.ca ?? '', connect: true },
      ...{ host: quickHost, token: undefined, kind: 'requests', connections, durationMs },
    });
    const runCalm = () =>
      Promise.all(calm.map((load, index) => load.ask<LoadResult>({ ...order(index + 1, 4), perSecond })));
    await runCalm();
    const alone: LoadResult[] = [];
    const beside: LoadResult[] = [];
    const floods: LoadResult[] = [];
    for (let round = 0; round < rounds; round++) {
      alone.push(...(await runCalm()));
      const [quiet, flood] = await Promise.all([
        runCalm(),
        flooder.ask<LoadResult>({ ...order(0, floodConnections), isFlood: true }),
      ]);
      beside.push(...quiet);
      floods.push(flood);
    }
    const what = `${calmSessions} sessions at ${perSecond} requests per second each`;
    return [
      { what: `${what}, alone`, numbers: numbersOf(alone, alone) },
      { what: `${what}, while one floods`, numbers: numbersOf(beside, alone) },
      {
        what: `the one that floods over ${floodConnections} connections`,
        numbers: numbersOf(floods, floods),
      },
    ];
  } finally {
    for (const each of [...calm, flooder, helper]) each.stop();
    upstream.stop();
    await database.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function numbersOf(got: readonly LoadResult[], base: readonly LoadResult[]): Row['numbers'] {
  const middle = (of: readonly LoadResult[], field: keyof LoadResult) =>
    median(of.map((each) => each[field]));
  const ratio = middle(got, 'perSecond') / middle(base, 'perSecond');
  const refused = got.reduce((sum, each) => sum + each.refused, 0);
  return {
    'per second': middle(got, 'perSecond').toFixed(0),
    ratio: `${ratio.toFixed(2)}×`,
    'p50 µs': middle(got, 'p50Us').toFixed(0),
    'p99 µs': middle(got, 'p99Us').toFixed(0),
    refused: String(refused),
  };
}
