import type { Measure, Sample, Samples } from '../egress.ts';
import { median, type Row } from '../table.ts';
import type { Peer } from './peers.ts';

/**
 * A line for each measure and peer. `of direct` is by how much a peer is slower than no proxy at all, in the median of
 * the same rounds; for events, where less is better, the time that it adds.
 */
export function toRows(
  samples: Samples,
  memory: ReadonlyMap<Peer, { idle: number; peak: number }>,
  missing: readonly string[],
): Row[] {
  const rows = [...samples].flatMap(([measure, byPeer]) => {
    const base = [...byPeer.values()][0] ?? [];
    return [...byPeer].map(
      ([peer, got]): Row => ({
        what: `${measure.name}, ${peer.name}`,
        numbers: numbersOf(measure, got, base),
      }),
    );
  });
  const memoryRows = [...memory]
    .filter(([{ pid }]) => pid !== undefined)
    .map(
      ([{ name }, { idle, peak }]): Row => ({
        what: `memory over all of these, ${name}`,
        numbers: { 'idle MiB': idle.toFixed(0), 'peak MiB': peak.toFixed(0) },
      }),
    );
  return [...rows, ...memoryRows, ...missing.map((what): Row => ({ what, numbers: {} }))];
}

function numbersOf({ order }: Measure, got: readonly Sample[], base: readonly Sample[]): Row['numbers'] {
  const middle = (of: readonly Sample[], value: (sample: Sample) => number) => median(of.map(value));
  const perSecond = middle(got, (sample) => sample.perSecond);
  const refused = got.reduce((sum, sample) => sum + sample.refused, 0);
  const processor = middle(got, (sample) => sample.processorSeconds);
  const more = {
    ...(processor > 0 && order.kind !== 'events'
      ? { 'CPU each': eachText(order.kind, middle(got, cpuEach)) }
      : {}),
    ...(refused > 0 ? { refused: String(refused) } : {}),
  };
  const p50 = middle(got, (sample) => sample.p50Us);
  const latencies = { 'p50 µs': p50.toFixed(0), 'p99 µs': middle(got, (sample) => sample.p99Us).toFixed(0) };
  if (order.kind === 'events') return { ...latencies, ...more };
  const ratio = perSecond / middle(base, (sample) => sample.perSecond);
  const ofDirect = { 'of direct': `${ratio.toFixed(2)}×` };
  return order.kind === 'download' || order.kind === 'upload'
    ? { 'MiB/s': (perSecond / 1024 ** 2).toFixed(0), ...ofDirect, ...more }
    : { 'per second': perSecond.toFixed(0), ...latencies, ...ofDirect, ...more };
}

/** Per request or connection in seconds; per byte for streams. */
function cpuEach(sample: Sample): number {
  return sample.processorSeconds / Math.max(1, sample.count);
}

function eachText(kind: Measure['order']['kind'], seconds: number): string {
  return kind === 'download' || kind === 'upload'
    ? `${(seconds * 1024 ** 3).toFixed(2)} s/GiB`
    : `${(seconds * 1e6).toFixed(1)} µs`;
}
