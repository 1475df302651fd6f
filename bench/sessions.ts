import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { createSandbox } from '../src/sandbox/create.ts';
import type { Sandbox, SandboxPort } from '../src/sandbox/sandbox.ts';
import { sessionUid } from '../src/sandbox/uids.ts';
import { openHome } from '../src/store/home.ts';
import { type RunningEgress, startEgress } from '../src/vault/egress/control.ts';
import { openEgressDatabase } from './egress/database.ts';
import { memoryMib, shareKib } from './egress/process.ts';
import { quickHost } from './egress/upstream.ts';
import { median, type Row } from './table.ts';

const limits = { memoryBytes: 1024 ** 3, maxProcesses: 256, maxFileBytes: 1024 ** 3, maxOpenFiles: 1_024 };
const atOnce = 4;
const answer = 'an answer from outside';
const firstUid = 910_000;

/**
 * So many sessions with real sandboxes beside one egress process: how long each takes to start, its own listeners
 * served, while others start too; what each costs in memory with an idle program that is next to nothing; and, before,
 * one alone from nothing to the first byte of an HTTPS answer.
 */
export async function measureSessions(count: number, rounds: number): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  const logger = pino({ level: 'silent' });
  const home = openHome(folder);
  const database = await openEgressDatabase('unused-here', count + rounds + 1);
  const upstream = createServer((_request, response) => response.end(answer)).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const egress = await startEgress({
    logger,
    start: {
      databaseUrl: database.url,
      rootKey: database.rootKey,
      upstreams: [
        {
          host: quickHost,
          pathPrefix: '/',
          target: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/`,
          scope: 'all',
        },
      ],
      modelCredentials: {},
      platformSocket: join(folder, 'platform.sock'),
      internalSocket: join(folder, 'internal.sock'),
    },
  });
  const port = createSandbox('bubblewrap', { home, logger });
  const open = (index: number, command: readonly string[]) =>
    openOne(
      port,
      egress,
      database.sessions[index],
      join(home.open, 'sessions', String(index)),
      index,
      command,
    );
  const running: Sandbox[] = [];
  try {
    const curl = ['/usr/bin/curl', '-sS', `https://${quickHost}/small`];
    const firstByteMs: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const started = performance.now();
      const sandbox = await open(count + round, curl);
      await firstOutput(sandbox, answer);
      // The first one also prepares what later ones share.
      if (round > 0) firstByteMs.push(performance.now() - started);
      await sandbox.close(0);
    }
    const idle = memoryMib(egress.pid ?? 0).now;
    const times: number[] = [];
    let next = 0;
    const began = performance.now();
    const starter = async () => {
      while (next < count) {
        const started = performance.now();
        const sandbox = await open(next++, ['/bin/cat']);
        running.push(sandbox);
        sandbox.stdin.write('up\n');
        await firstOutput(sandbox, 'up\n');
        times.push(performance.now() - started);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, starter));
    const allMs = performance.now() - began;
    const sorted = times.sort((a, b) => a - b);
    const egressKib = ((memoryMib(egress.pid ?? 0).now - idle) * 1024) / count;
    const sandboxKib = median(running.map(({ pid }) => shareKib(pid)));
    return [
      { what: 'nothing to first HTTPS byte in a sandbox (curl)', numbers: { p50: ms(median(firstByteMs)) } },
      {
        what: `${count} sessions, ${atOnce} starting at once`,
        numbers: {
          p50: ms(median(sorted)),
          p99: ms(sorted[Math.floor((sorted.length - 1) * 0.99)] ?? Number.NaN),
          'all of them': ms(allMs),
          'egress KiB each': egressKib.toFixed(0),
          'sandbox KiB each': sandboxKib.toFixed(0),
        },
      },
    ];
  } finally {
    await Promise.all(running.map((sandbox) => sandbox.close(0)));
    await egress.stop();
    upstream.close();
    upstream.closeAllConnections();
    await database.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function openOne(
  port: SandboxPort,
  egress: RunningEgress,
  session: { organizationId: string; sessionId: string } | undefined,
  directory: string,
  index: number,
  command: readonly string[],
): Promise<Sandbox> {
  if (!session) throw new Error(`There is no session ${index} in the bench's database.`);
  const { caCertificatePem } = await egress.openSession(session);
  return port.open({
    sessionId: session.sessionId,
    uid: sessionUid(firstUid + index),
    directory,
    mounts: [],
    command,
    env: {},
    caCertificatePem,
    limits,
    onListener: (handle, role) => egress.addListener(session.sessionId, handle, role),
  });
}

function firstOutput({ stdout, stderr }: Sandbox, expected: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const no = (data: Buffer) => reject(new Error(`A sandbox of the bench said: ${data}`));
    stdout.once('data', (data: Buffer) => (data.toString() === expected ? resolve() : no(data)));
    stderr.once('data', no);
  });
}

const ms = (value: number) => `${value.toFixed(0)} ms`;
