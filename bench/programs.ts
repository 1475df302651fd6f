import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { connectAgent } from '../src/agents/client.ts';
import { createPrograms, type OpenProgram } from '../src/agents/profiles/index.ts';
import { createInstaller } from '../src/agents/profiles/install.ts';
import { createSandbox } from '../src/sandbox/create.ts';
import type { SandboxPort } from '../src/sandbox/sandbox.ts';
import { sessionUid } from '../src/sandbox/uids.ts';
import { whyItDied } from '../src/sessions/live.ts';
import { openHome } from '../src/store/home.ts';
import { median, type Row } from './table.ts';

const programs = [
  { program: 'builtin', model: 'claude-sonnet-4-5' },
  { program: 'opencode', model: 'openai/gpt-5.1' },
  { program: 'claude', model: 'claude-sonnet-4-5' },
  { program: 'codex', model: 'openai/gpt-5.1' },
  { program: 'gemini', model: 'google/gemini-2.5-pro' },
] as const;

const limits = {
  memoryBytes: 2 * 1024 ** 3,
  maxProcesses: 512,
  maxFileBytes: 1024 ** 3,
  maxOpenFiles: 4_096,
};
/** After a program is ready, until its memory is looked at. */
const restMs = 1_000;

interface Started {
  readyMs: number;
  memoryMib: number;
}

/**
 * How long each agent program takes from nothing to an open conversation in its sandbox, and what it then holds of
 * memory. The first start, which sets up the program's own home, is shown apart. Nothing outside is reached.
 */
export async function measurePrograms(rounds: number): Promise<Row[]> {
  const root = await mkdtemp(join(tmpdir(), 'tagalong-bench-'));
  const home = openHome(root);
  const logger = pino({ level: 'silent' });
  try {
    const port = createSandbox('bubblewrap', { home, logger });
    const openProgram = createPrograms({
      home,
      vendors: ['anthropic', 'openai', 'google'],
      install: createInstaller({ home, environment: process.env }),
    });
    const rows: Row[] = [];
    for (const [index, choice] of programs.entries()) {
      const start = () =>
        startOnce(port, openProgram, choice, join(home.open, 'sessions', `${index}`), index);
      const first = await start();
      const later: Started[] = [];
      for (let round = 0; round < rounds; round++) later.push(await start());
      rows.push({
        what: `agent program, ${choice.program}`,
        numbers: {
          'first start ms': first.readyMs.toFixed(0),
          'start ms': median(later.map(({ readyMs }) => readyMs)).toFixed(0),
          'memory MiB': median(later.map(({ memoryMib }) => memoryMib)).toFixed(0),
        },
      });
    }
    return rows;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function startOnce(
  port: SandboxPort,
  openProgram: OpenProgram,
  choice: (typeof programs)[number],
  directory: string,
  index: number,
): Promise<Started> {
  const instructions = { model: choice.model, system: 'You are Ada.' };
  const program = await openProgram({ ...choice, ...instructions, command: null }, () => {});
  // The way out is there and refuses everything, as it does with what is on no list.
  const nowhere = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'));
  });
  const startedAt = performance.now();
  const sandbox = await port.open({
    ...program,
    sessionId: `bench-${index}`,
    uid: sessionUid(index),
    directory,
    caCertificatePem: '',
    limits,
    onListener: async (handle, role) => {
      if (role === 'proxy') nowhere.listen(handle);
    },
  });
  try {
    const connection = await connectAgent({
      ...program,
      stdin: sandbox.stdin,
      stdout: sandbox.stdout,
      instructions,
      mcpServers: [],
      cwd: sandbox.workspace,
      programSessionId: undefined,
    });
    const readyMs = performance.now() - startedAt;
    await sleep(restMs);
    const memoryMib = memoryBelow(sandbox.pid) / 1024;
    connection.dispose();
    return { readyMs, memoryMib };
  } catch (error) {
    throw new Error(`${choice.program} did not start: ${await whyItDied(error, sandbox)}`);
  } finally {
    await sandbox.close(0);
    nowhere.close();
  }
}

/** KiB of all processes below this one, with what they share counted once. */
function memoryBelow(pid: number): number {
  let sum = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
    for (const child of children.split(' ').filter(Boolean)) {
      const rollup = readFileSync(`/proc/${child}/smaps_rollup`, 'utf8');
      sum += Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) + memoryBelow(Number(child));
    }
  }
  return sum;
}
