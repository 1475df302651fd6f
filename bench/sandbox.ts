import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { defaults } from '../src/config.ts';
import { createSandbox } from '../src/sandbox/create.ts';
import { sessionUid } from '../src/sandbox/uids.ts';
import { openHome } from '../src/store/home.ts';
import { SessionAuthority } from '../src/vault/egress/certificates.ts';
import { median, type Row } from './table.ts';

/** From the call to a running command whose listener was handed over, under the limits of a real session. */
export async function measureSandboxStart(rounds: number): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  try {
    const home = openHome(folder);
    const sandbox = createSandbox('bubblewrap', { home, logger: pino({ level: 'silent' }) });
    const { certificatePem } = await SessionAuthority.create();
    const times: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const started = performance.now();
      const opened = await sandbox.open({
        sessionId: `sesn_bench${round}`,
        uid: sessionUid(900_000 + round),
        directory: join(home.open, 'sessions', `sesn_bench${round}`),
        mounts: [],
        command: ['/bin/cat'],
        env: {},
        caCertificatePem: certificatePem,
        limits: {
          memoryBytes: 1024 ** 3,
          maxProcesses: 256,
          maxFileBytes: 1024 ** 3,
          maxOpenFiles: 1_024,
          workspaceBytes: defaults.workspaceMib * 1024 ** 2,
          processors: defaults.processorShare * availableParallelism(),
        },
        onListener: async () => {},
      });
      opened.stdin.write('up\n');
      await new Promise((resolve) => opened.stdout.once('data', resolve));
      // The first one also prepares what later ones share.
      if (round > 0) times.push(performance.now() - started);
      await opened.close(0);
    }
    return [{ what: 'sandbox start to first output', numbers: { cold: `${median(times).toFixed(0)} ms` } }];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
