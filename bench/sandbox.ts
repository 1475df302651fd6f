import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { createSandbox } from '../src/sandbox/create.ts';
import { sessionUid } from '../src/sandbox/uids.ts';
import { openHome } from '../src/store/home.ts';
import { SessionAuthority } from '../src/vault/egress/certificates.ts';
import { aheadAgainMs, allLimits, firstOutput } from './sandboxes.ts';
import { median, type Row } from './table.ts';

/** From the call to a running command whose listener was handed over, under the limits of a real session. */
export async function measureSandboxStart(rounds: number): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  const logger = pino({ level: 'silent' });
  const home = openHome(folder);
  const ports = {
    'nothing ahead': createSandbox('bubblewrap', { home, logger }),
    ahead: createSandbox('bubblewrap', { home, logger, ahead: { count: 2, limits: allLimits } }),
  };
  try {
    const { certificatePem } = await SessionAuthority.create();
    const times = { 'nothing ahead': [] as number[], ahead: [] as number[] };
    let sessions = 0;
    for (let round = 0; round <= rounds; round++) {
      for (const which of ['nothing ahead', 'ahead'] as const) {
        await sleep(aheadAgainMs);
        const number = sessions++;
        const started = performance.now();
        const opened = await ports[which].open({
          sessionId: `sesn_bench${number}`,
          uid: sessionUid(900_000 + number),
          directory: join(home.open, 'sessions', `sesn_bench${number}`),
          mounts: [],
          command: ['/bin/cat'],
          env: {},
          caCertificatePem: certificatePem,
          limits: allLimits,
          onListener: async () => {},
        });
        opened.stdin.write('up\n');
        await firstOutput(opened, 'up\n');
        // The first one also prepares what later ones share.
        if (round > 0) times[which].push(performance.now() - started);
        await opened.close(0);
      }
    }
    const numbers = Object.entries(times).map(([which, all]) => [which, `${median(all).toFixed(0)} ms`]);
    return [{ what: 'sandbox start to first output', numbers: Object.fromEntries(numbers) }];
  } finally {
    await ports.ahead.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
