import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { defaults } from '../src/config.ts';
import { createSandbox } from '../src/sandbox/create.ts';
import type { Sandbox, SandboxLimits, SandboxPort } from '../src/sandbox/sandbox.ts';
import { sessionUid } from '../src/sandbox/uids.ts';
import { openHome } from '../src/store/home.ts';
import { type RunningEgress, startEgress } from '../src/vault/egress/control.ts';
import { openEgressDatabase } from './egress/database.ts';
import { quickHost } from './egress/upstream.ts';

export const withoutDisk: SandboxLimits = {
  memoryBytes: 1024 ** 3,
  maxProcesses: 256,
  maxFileBytes: 1024 ** 3,
  maxOpenFiles: 1_024,
  processors: defaults.processorShare * availableParallelism(),
};
/** Those of a real session: workspace and home are a disk of limited size. */
export const allLimits: SandboxLimits = { ...withoutDisk, workspaceBytes: defaults.workspaceMib * 1024 ** 2 };

/** What the upstream of these sessions says. */
export const answer = 'an answer from outside';
export const answerUrl = `https://${quickHost}/small`;

const firstUid = 910_000;
/** After which what was taken is there again. */
export const aheadAgainMs = 700;

/** Sandboxes of real sessions, beside one egress process and one upstream. */
export interface SandboxBench {
  egress: RunningEgress;
  /** With two of everything made ahead, as the worker has it, or with nothing. */
  ports: Readonly<Record<'ahead' | 'nothing ahead', SandboxPort>>;
  /** Opens the next session that was not opened before; its listeners are served. */
  open(port: SandboxPort, limits: SandboxLimits, command: readonly string[]): Promise<Sandbox>;
  /** Makes the next session known without a sandbox. */
  openSession(): Promise<{ sessionId: string; caCertificatePem: string }>;
  /** Resolves when what is made ahead is there. */
  settled(): Promise<void>;
  folder: string;
  close(): Promise<void>;
}

export async function openSandboxBench(sessions: number): Promise<SandboxBench> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  const logger = pino({ level: 'silent' });
  const home = openHome(folder);
  const database = await openEgressDatabase('unused-here', sessions);
  const upstream = createServer((_request, response) => response.end(answer)).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const target = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/`;
  const egress = await startEgress({
    logger,
    start: {
      databaseUrl: database.url,
      rootKey: database.rootKey,
      upstreams: [{ host: quickHost, pathPrefix: '/', target, scope: 'all' }],
      modelCredentials: {},
      platformSocket: join(folder, 'platform.sock'),
      internalSocket: join(folder, 'internal.sock'),
    },
  });
  const ports = {
    ahead: createSandbox('bubblewrap', { home, logger, ahead: { count: 2, limits: allLimits } }),
    'nothing ahead': createSandbox('bubblewrap', { home, logger }),
  };
  let opened = 0;
  const next = () => {
    const session = database.sessions[opened];
    if (!session) throw new Error(`There is no session ${opened} in the bench's database.`);
    return { ...session, index: opened++ };
  };
  return {
    egress,
    ports,
    folder,
    async open(port, limits, command) {
      const { index, ...session } = next();
      const known = egress.openSession(session);
      return port.open({
        sessionId: session.sessionId,
        uid: sessionUid(firstUid + index),
        directory: join(home.open, 'sessions', String(index)),
        mounts: [],
        command,
        env: {},
        caCertificatePem: known.then(({ caCertificatePem }) => caCertificatePem),
        limits,
        onListener: async (handle, role) => {
          await known;
          await egress.addListener(session.sessionId, handle, role);
        },
      });
    },
    async openSession() {
      const session = next();
      const { caCertificatePem } = await egress.openSession(session);
      return { sessionId: session.sessionId, caCertificatePem };
    },
    settled: () => sleep(aheadAgainMs),
    async close() {
      await Promise.all(Object.values(ports).map((port) => port.close()));
      await egress.stop();
      upstream.close();
      upstream.closeAllConnections();
      await database.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when the first thing that a sandbox writes is this; rejects when it is not. */
export function firstOutput({ stdout, stderr }: Pick<Sandbox, 'stdout' | 'stderr'>, expected: string) {
  return new Promise<void>((resolve, reject) => {
    const no = (data: Buffer) => reject(new Error(`A sandbox of the bench said: ${data}`));
    stdout.once('data', (data: Buffer) => (data.toString() === expected ? resolve() : no(data)));
    stderr.once('data', no);
  });
}
