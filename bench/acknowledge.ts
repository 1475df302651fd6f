import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LoadOrder, LoadResult } from './load.ts';
import { openBenchStore } from './store.ts';
import { median, type Row } from './table.ts';

export interface AcknowledgeOptions {
  connections: readonly number[];
  /** A moderate load: so many per second, over 32 connections. */
  steadyPerSecond: number;
  rounds: number;
  durationMs: number;
}

const contenders = ['tagalong', 'bolt'] as const;
type Contender = (typeof contenders)[number];

/**
 * Deliveries acknowledged per second by our gateway, which commits each to a durable Postgres first, beside Bolt's own
 * HTTPReceiver, which keeps nothing. Each in a process of its own, load generator too; rounds take turns, so that a
 * busy moment of the machine meets both.
 */
export async function measureAcknowledge(options: AcknowledgeOptions): Promise<Row[]> {
  const store = await openBenchStore();
  const children: ChildProcess[] = [];
  const start = (name: string): ChildProcess => {
    const child = fork(fileURLToPath(new URL(name, import.meta.url)), { stdio: 'inherit' });
    children.push(child);
    return child;
  };
  try {
    const targets: Record<Contender, Target> = {
      tagalong: await ask<Target>(start('gateway-server.ts'), store.forGateway),
      bolt: await ask<Target>(start('bolt-server.ts'), { secret: store.signingSecret }),
    };
    const load = start('load.ts');
    const run = (contender: Contender, shape: Load, durationMs: number) =>
      ask<LoadResult>(load, {
        ...targets[contender],
        ...shape,
        secret: store.signingSecret,
        durationMs,
        maxDeliveries: Math.ceil(durationMs * 12),
      } satisfies LoadOrder);
    for (const contender of contenders) await run(contender, { connections: 32 }, 1_000);
    const loads: Load[] = [
      ...options.connections.map((connections) => ({ connections })),
      { connections: 32, perSecond: options.steadyPerSecond },
    ];
    const rows: Row[] = [];
    for (const each of loads) {
      const results: Record<Contender, LoadResult[]> = { tagalong: [], bolt: [] };
      for (let round = 0; round < options.rounds; round++) {
        const order = round % 2 === 0 ? contenders : [...contenders].reverse();
        for (const contender of order) {
          await store.settle();
          results[contender].push(await run(contender, each, options.durationMs));
        }
      }
      rows.push(...toRows(each, results));
    }
    return rows;
  } finally {
    for (const child of children) if (child.connected) child.disconnect();
    await store.close();
  }
}

interface Load {
  connections: number;
  perSecond?: number;
}

interface Target {
  port: number;
  path: string;
}

function ask<Answer>(child: ChildProcess, message: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) =>
      reject(new Error(`A process of the bench ended with code ${code}.`));
    child.once('exit', onExit);
    child.once('message', (answer) => {
      child.off('exit', onExit);
      resolve(answer as Answer);
    });
    child.send(message);
  });
}

function toRows({ connections, perSecond }: Load, results: Record<Contender, LoadResult[]>): Row[] {
  const middle = (contender: Contender, field: keyof LoadResult) =>
    median(results[contender].map((result) => result[field]));
  const ratio = middle('tagalong', 'perSecond') / middle('bolt', 'perSecond');
  const load = perSecond
    ? `${perSecond} per second`
    : `${connections} connection${connections === 1 ? '' : 's'}`;
  return contenders.map((contender) => {
    const refused = results[contender].reduce((sum, result) => sum + result.refused, 0);
    return {
      what: `acknowledge, ${load}, ${contender === 'bolt' ? "Bolt's HTTPReceiver" : 'Tagalong'}`,
      numbers: {
        'per second': middle(contender, 'perSecond').toFixed(0),
        'p50 ms': middle(contender, 'p50Ms').toFixed(2),
        'p99 ms': middle(contender, 'p99Ms').toFixed(2),
        ratio: contender === 'tagalong' ? `${ratio.toFixed(2)}×` : '1',
        ...(refused > 0 ? { refused: String(refused) } : {}),
      },
    };
  });
}
