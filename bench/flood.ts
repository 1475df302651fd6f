import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaults, type EgressLimits } from '../src/config.ts';
import { issueCertificate } from './egress/certificate.ts';
import { openEgressDatabase } from './egress/database.ts';
import { startEgressHelper } from './egress/egress-helper.ts';
import type { LoadResult } from './egress/load.ts';
import { processorSeconds, startHelper } from './egress/process.ts';
import { nodeHost, quickHost, startUpstreams } from './egress/upstream.ts';
import { median, quantile, type Row } from './table.ts';

const calmSessions = 8;
/** Of the proxy's processor: what all that keep a steady pace take together, on whatever machine this is. */
const calmShare = 0.1;
const maxPerSecond = 200;
/** Of the proxy's processor, for a request on the machine that the default limits were measured on. */
const usualSecondsEach = 60e-6;
const warmUpMs = 2_000;
const leastPriority = 19;

interface Flood {
  name: string;
  connections: number;
  path?: string;
}

const floods: Flood[] = [
  { name: 'floods with requests over 64 connections', connections: 64 },
  {
    name: 'downloads 1 MiB at a time over 32 connections',
    ...{ connections: 32, path: `/stream?${1024 * 1024}` },
  },
];

/** All sessions of one run together. */
interface Run {
  perSecond: number;
  p50Us: number;
  p99Us: number;
  refused: number;
}

/**
 * Sessions at a steady pace, alone and while another one floods, under the limits that are the default; on a machine
 * so slow that a flood within them takes much of it, once more under limits that are the same part of it as the
 * defaults are of a quicker one. The one that floods and its upstream are processes of their own, which come after all
 * others on the machine: it is the proxy that is measured, not the scheduler.
 */
export async function measureFlood(rounds: number, durationMs: number): Promise<Row[]> {
  const { maxRequestsPerSecond, maxConnectionsPerSecond } = defaults.egress;
  const { rows, secondsEach } = await measureUnder(defaults.egress, rounds, durationMs);
  const scale = usualSecondsEach / secondsEach;
  if (scale > 0.5) return rows;
  const limits = {
    ...defaults.egress,
    maxRequestsPerSecond: Math.ceil(maxRequestsPerSecond * scale),
    maxConnectionsPerSecond: Math.ceil(maxConnectionsPerSecond * scale),
  };
  const under = `under limits of ${limits.maxRequestsPerSecond} requests and ${limits.maxConnectionsPerSecond} connections per second: `;
  const scaled = await measureUnder(limits, rounds, durationMs);
  return [...rows, ...scaled.rows.map(({ what, numbers }) => ({ what: under + what, numbers }))];
}

async function measureUnder(
  limits: EgressLimits,
  rounds: number,
  durationMs: number,
): Promise<{ rows: Row[]; secondsEach: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  const token = randomBytes(24).toString('base64url');
  const certificate = await issueCertificate([quickHost, nodeHost]);
  const database = await openEgressDatabase(token, calmSessions + 1);
  const upstream = await startUpstreams(folder, certificate, token, 0);
  const flooded = startHelper('upstream-server.ts', 0);
  const { key, certificate: chain } = certificate;
  const { port } = await flooded.ask<{ port: number }>({ key, certificate: chain, token });
  const { helper, doors } = await startEgressHelper({
    ...{ folder, certificate, database, sessions: database.sessions, limits },
    upstream: { ports: { ...upstream.ports, [nodeHost]: port } },
  });
  const calm = Array.from({ length: calmSessions }, () => startHelper('load.ts', 0));
  const flooder = startHelper('load.ts', 0);
  for (const { pid } of [flooder, flooded]) setPriority(pid, leastPriority);
  const order = (index: number, host: string, forMs: number) => ({
    door: { port: doors[index]?.port ?? 0, ca: doors[index]?.ca ?? '', connect: true },
    ...{ host, token: undefined, kind: 'requests' as const, durationMs: forMs },
  });
  const runCalm = async (perSecond: number, forMs = durationMs): Promise<Run> => {
    const asked = calm.map((load, index) =>
      load.ask<LoadResult>({ ...order(index + 1, quickHost, forMs), connections: 4, perSecond }),
    );
    return together(await Promise.all(asked));
  };
  const runFlood = async ({ connections, path = '/small' }: Flood, forMs = durationMs): Promise<Run> =>
    flooder.ask<LoadResult>({ ...order(0, nodeHost, forMs), connections, path, isFlood: true });
  /** As much between the same two processes, and none of it through the proxy: what the machine itself makes of it. */
  const runPast = async ({ connections, path = '/small' }: Flood, perSecond: number): Promise<Run> =>
    flooder.ask<LoadResult>({
      ...order(0, nodeHost, durationMs),
      ...{ door: { port, ca: certificate.authority, connect: false }, token, connections, path, perSecond },
    });
  try {
    for (const flood of floods) await Promise.all([runCalm(20, warmUpMs), runFlood(flood, warmUpMs)]);
    const before = processorSeconds(helper.pid);
    await runCalm(100, warmUpMs);
    const secondsEach = (processorSeconds(helper.pid) - before) / ((100 * calmSessions * warmUpMs) / 1000);
    const perSecond = Math.min(maxPerSecond, Math.max(1, Math.round(calmShare / secondsEach / calmSessions)));
    const alone: Run[] = [];
    const beside = floods.map((flood) => ({
      flood,
      ...{ calm: [] as Run[], flooding: [] as Run[], calmPast: [] as Run[] },
    }));
    for (let round = 0; round < rounds; round++) {
      for (const { flood, calm, flooding, calmPast } of beside) {
        alone.push(await runCalm(perSecond));
        const [quiet, through] = await Promise.all([runCalm(perSecond), runFlood(flood)]);
        const [past] = await Promise.all([runCalm(perSecond), runPast(flood, through.perSecond)]);
        calm.push(quiet);
        flooding.push(through);
        calmPast.push(past);
      }
    }
    const what = `${calmSessions} sessions at ${perSecond} requests per second each`;
    const rows = [
      { what: `${what}, alone`, numbers: numbersOf(alone, alone) },
      ...beside.flatMap(({ flood, calm, flooding, calmPast }) => [
        { what: `${what}, while one ${flood.name}`, numbers: numbersOf(calm, alone) },
        { what: `${what}, while as much goes past the proxy`, numbers: numbersOf(calmPast, alone) },
        { what: `the one that ${flood.name}`, numbers: numbersOf(flooding) },
      ]),
    ];
    return { rows, secondsEach };
  } finally {
    for (const each of [...calm, flooder, helper, flooded]) each.stop();
    upstream.stop();
    await database.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function together(results: readonly LoadResult[]): Run {
  const times = results.flatMap(({ timesUs }) => timesUs ?? []).sort((a, b) => a - b);
  const sum = (field: 'perSecond' | 'refused') => results.reduce((total, each) => total + each[field], 0);
  return {
    ...{ perSecond: sum('perSecond'), refused: sum('refused') },
    ...{ p50Us: quantile(times, 0.5), p99Us: quantile(times, 0.99) },
  };
}

/** In the middle of all rounds; beside the same of those who were alone. */
function numbersOf(got: readonly Run[], alone?: readonly Run[]): Row['numbers'] {
  const middle = (of: readonly Run[], field: keyof Run) => median(of.map((each) => each[field]));
  const ratio = (field: keyof Run) =>
    alone ? `${(middle(got, field) / middle(alone, field)).toFixed(2)}×` : '';
  return {
    'per second': middle(got, 'perSecond').toFixed(0),
    'of alone': ratio('perSecond'),
    'p50 µs': middle(got, 'p50Us').toFixed(0),
    'p50 of alone': ratio('p50Us'),
    'p99 µs': middle(got, 'p99Us').toFixed(0),
    'p99 of alone': ratio('p99Us'),
    refused: String(got.reduce((sum, each) => sum + each.refused, 0)),
  };
}
