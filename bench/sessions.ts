import type { Sandbox } from '../src/sandbox/sandbox.ts';
import { memoryMib, shareKib } from './egress/process.ts';
import { allLimits, firstOutput, openSandboxBench } from './sandboxes.ts';
import { median, quantile, type Row } from './table.ts';

const atOnce = 4;

/**
 * So many sessions with real sandboxes beside one egress process: how long each takes to start, its own listeners
 * served, while others start too; what each costs in memory with an idle program that is next to nothing.
 */
export async function measureSessions(count: number): Promise<Row[]> {
  const bench = await openSandboxBench(count + 1);
  const { egress, ports } = bench;
  const running: Sandbox[] = [];
  const open = async () => {
    const sandbox = await bench.open(ports.ahead, allLimits, ['/bin/cat']);
    running.push(sandbox);
    sandbox.stdin.write('up\n');
    await firstOutput(sandbox, 'up\n');
  };
  try {
    // The first one also prepares what later ones share.
    await open();
    await bench.settled();
    const idle = memoryMib(egress.pid ?? 0).now;
    const times: number[] = [];
    let begun = 0;
    const began = performance.now();
    const starter = async () => {
      while (begun++ < count) {
        const started = performance.now();
        await open();
        times.push(performance.now() - started);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, starter));
    const allMs = performance.now() - began;
    const sorted = times.sort((a, b) => a - b);
    const egressKib = ((memoryMib(egress.pid ?? 0).now - idle) * 1024) / count;
    const sandboxKib = median(running.map(({ pid }) => shareKib(pid)));
    return [
      {
        what: `${count} sessions, ${atOnce} starting at once`,
        numbers: {
          p50: ms(median(sorted)),
          p99: ms(quantile(sorted, 0.99)),
          'all of them': ms(allMs),
          'egress KiB each': egressKib.toFixed(0),
          'sandbox KiB each': sandboxKib.toFixed(0),
        },
      },
    ];
  } finally {
    await Promise.all(running.map((sandbox) => sandbox.close(0)));
    await bench.close();
  }
}

const ms = (value: number) => `${value.toFixed(0)} ms`;
