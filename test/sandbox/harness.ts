import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pino } from 'pino';
import { bundle } from '../../scripts/bundle.ts';
import { type BubblewrapOptions, createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import type {
  Sandbox,
  SandboxEnd,
  SandboxLimits,
  SandboxPort,
  SandboxSpec,
} from '../../src/sandbox/sandbox.ts';
import { sessionUid } from '../../src/sandbox/uids.ts';
import { type Home, openHome } from '../../src/store/home.ts';

export const isRoot = process.getuid?.() === 0;

export const limits: SandboxLimits = {
  memoryBytes: 1024 * 1024 * 1024,
  maxProcesses: 200,
  maxFileBytes: 1024 * 1024 * 1024,
  maxOpenFiles: 1024,
  processors: 4,
};

export interface RunResult extends SandboxEnd {
  stdout: string;
  stderr: string;
}

export interface Harness {
  home: Home;
  port: SandboxPort;
  spec(command: readonly string[], changes?: Partial<SandboxSpec>): SandboxSpec;
  /** Opens one, runs bash in it to its end, and answers what it wrote. */
  run(script: string, changes?: Partial<SandboxSpec>): Promise<RunResult>;
  clear(): void;
}

/** A home of its own with the real sandbox in it. */
export async function createHarness(options: Pick<BubblewrapOptions, 'ahead'> = {}): Promise<Harness> {
  await bundle();
  const root = mkdtempSync(join(tmpdir(), 'tagalong-sandbox-'));
  const home = openHome(root);
  const port = createBubblewrapSandbox({ home, logger: pino({ level: 'silent' }), ...options });
  const spec: Harness['spec'] = (command, changes = {}) => ({
    sessionId: 'sesn_test',
    uid: sessionUid(1),
    directory: join(home.open, 'sessions', 'one'),
    mounts: [],
    command,
    env: {},
    caCertificatePem: '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----',
    limits,
    onListener: async () => {},
    ...changes,
  });
  return {
    home,
    port,
    spec,
    async run(script, changes) {
      const sandbox = await port.open(spec(['/bin/bash', '-c', script], changes));
      return finish(sandbox);
    },
    clear: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Reads a sandbox to its end. */
export async function finish(sandbox: Sandbox): Promise<RunResult> {
  sandbox.stdin.end();
  const [stdout, stderr, end] = await Promise.all([
    text(sandbox.stdout),
    text(sandbox.stderr),
    sandbox.closed,
  ]);
  return { ...end, stdout, stderr };
}

async function text(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Resolves with the first line that a stream gives. */
export async function firstLine(stream: Readable): Promise<string> {
  let held = '';
  return new Promise((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => {
      held += chunk.toString('utf8');
      const end = held.indexOf('\n');
      if (end !== -1) resolve(held.slice(0, end));
    });
    stream.once('end', () => reject(new Error(`ended before a line: ${held}`)));
  });
}

/** Waits until a condition holds; the test's own time-out is the bound. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
