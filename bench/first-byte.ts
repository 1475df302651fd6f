import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startBootstrap } from '../src/sandbox/bootstraps.ts';
import { inside } from '../src/sandbox/inside.ts';
import { defaultBundleFolder } from '../src/sandbox/runtime.ts';
import {
  allLimits,
  answer,
  answerUrl,
  firstOutput,
  openSandboxBench,
  type SandboxBench,
  withoutDisk,
} from './sandboxes.ts';
import { median, type Row } from './table.ts';

const curl = ['/usr/bin/curl', '-sS', answerUrl];
/** Reading 146 public roots takes curl longer than all else that it does. */
const oneAuthority = ['--cacert', inside.sessionCa];

/**
 * From the order to open a session, of which nothing is there yet, to the first byte of an HTTPS answer that curl reads
 * in its sandbox: the session made known to the egress process, its listeners served, the policy read from Postgres,
 * the request recorded. The first column is curl alone, outside, through a proxy of a session that is open.
 */
export async function measureFirstByte(rounds: number): Promise<Row[]> {
  const variants = 4;
  const bench = await openSandboxBench((rounds + 1) * (variants + 1));
  const { ports } = bench;
  const inSandbox =
    (...[port, limits, options]: [typeof ports.ahead, typeof allLimits, string[]]) =>
    async () => {
      const sandbox = await bench.open(port, limits, [...curl, ...options]);
      await firstOutput(sandbox, answer);
      return () => sandbox.close(0);
    };
  const measures: Record<string, () => Promise<() => unknown>> = {
    'curl alone': await outside(bench),
    'nothing ahead, no disk': inSandbox(ports['nothing ahead'], withoutDisk, oneAuthority),
    'nothing ahead': inSandbox(ports['nothing ahead'], allLimits, oneAuthority),
    ahead: inSandbox(ports.ahead, allLimits, oneAuthority),
    'ahead, all roots': inSandbox(ports.ahead, allLimits, []),
  };
  const times = new Map<string, number[]>();
  try {
    for (let round = 0; round <= rounds; round++) {
      for (const [name, measure] of Object.entries(measures)) {
        await bench.settled();
        const started = performance.now();
        const end = await measure();
        // The first one also prepares what later ones share.
        if (round > 0) times.set(name, [...(times.get(name) ?? []), performance.now() - started]);
        await end();
      }
    }
    const numbers = [...times].map(([name, all]) => [name, `${median(all).toFixed(0)} ms`]);
    return [{ what: 'nothing to first HTTPS byte (curl), p50', numbers: Object.fromEntries(numbers) }];
  } finally {
    await bench.close();
  }
}

/** curl on the host, with the proxy and the one authority that it would have in a sandbox. */
async function outside(bench: SandboxBench): Promise<() => Promise<() => unknown>> {
  const { sessionId, caCertificatePem } = await bench.openSession();
  const bootstrap = await startBootstrap({
    command: [process.execPath, join(defaultBundleFolder, 'bootstrap.cjs'), '0'],
  });
  const [listener] = await bootstrap.listening;
  if (!listener) throw new Error('The proxy of the bench has no listener.');
  await bench.egress.addListener(sessionId, listener.handle);
  bootstrap.child.kill();
  const authority = join(bench.folder, 'authority.pem');
  writeFileSync(authority, caCertificatePem);
  return async () => {
    const [file = '', ...args] = [...curl, '--cacert', authority];
    const child = spawn(file, args, { env: { HTTPS_PROXY: `http://127.0.0.1:${listener.port}` } });
    await firstOutput(child, answer);
    return () => (child.exitCode === null ? once(child, 'exit') : undefined);
  };
}
