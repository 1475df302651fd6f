import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { sessionFolder } from './session-folder.ts';
import { errorIn, openSession, saidIn } from './sessions-api.ts';

/** A program that behaves badly at its first start and well from then on; `$1` says how. */
const naughty = String.raw`
import { existsSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { createInterface } from 'node:readline';
import { defineAgent } from 'tagalong/define-agent';

const kind = process.argv[2];
const marker = homedir() + '/was-here';
const answer = (id, result) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\n');
const hello = { protocolVersion: 1, agentCapabilities: { mcpCapabilities: { http: true } } };

function serve(onPrompt) {
  createInterface({ input: process.stdin }).on('line', (line) => {
    const { id, method } = JSON.parse(line);
    if (method === 'initialize') answer(id, kind === 'version' ? { ...hello, protocolVersion: 7 } : hello);
    if (method === 'session/new') answer(id, { sessionId: 'one' });
    if (method === 'session/prompt') onPrompt(id);
  });
}

if (existsSync(marker)) {
  defineAgent({ name: 'naughty', turn: () => 'Now I am good.' });
} else {
  writeFileSync(marker, '');
  process.on('SIGTERM', () => {});
  if (kind === 'silent') setInterval(() => {}, 1_000);
  else if (kind === 'dies') { console.error('I cannot find my shoes'); process.exit(3); }
  else if (kind === 'rubbish') setInterval(() => console.log('la la la'), 5);
  else if (kind === 'version') serve(() => {});
  else if (kind === 'dies-later') serve(() => { console.error('out of ideas'); process.exit(4); });
  else if (kind === 'flood') serve(() => { const more = () => process.stdout.write('x'.repeat(1 << 20), more); more(); });
  else if (kind === 'deaf') serve(() => {});
}
`;

const docs = readFileSync(new URL('../../docs/agent-programs.md', import.meta.url), 'utf8');
const example = /```ts\n(import [\s\S]*?)```/.exec(docs)?.[1] ?? '';

let server: TestServer;
let programs: string;
beforeAll(async () => {
  programs = mkdtempSync(join(tmpdir(), 'tagalong-programs-'));
  chmodSync(programs, 0o755);
  writeFileSync(join(programs, 'counter.ts'), example, { mode: 0o644 });
  writeFileSync(join(programs, 'naughty.mjs'), naughty, { mode: 0o644 });
  server = await startServer({ env: { TAGALONG_PROGRAMS: programs } });
});
afterAll(async () => {
  await cleanUp(server);
  rmSync(programs, { recursive: true, force: true });
});

const custom = (...command: string[]) => openSession(server, { program: 'custom', program_command: command });
const misbehave = (kind: string) => custom('node', '/opt/tagalong/custom/naughty.mjs', kind);

describe("a program of one's own", () => {
  it('runs as the documentation has it, shows what it does, and remembers when its sandbox was stopped', async () => {
    expect(example).toContain('defineAgent({');
    const session = await custom('node', '/opt/tagalong/custom/counter.ts');
    const events = await session.turn('How many files?');
    expect(saidIn(events)).toBe('You asked: How many files?. There are 0 files in my workspace.');
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['tagalong.plan', 'agent.tool_use', 'agent.tool_result', 'agent.message']),
    );
    expect(events.find(({ type }) => type === 'agent.tool_use')).toMatchObject({
      name: 'ls',
      input: { folder: '/workspace' },
    });
    await server.stop();
    server = await startServer({
      home: server.home,
      apiKey: server.apiKey,
      env: { TAGALONG_PROGRAMS: programs },
    });
    await server.api(`/v1/sessions/${session.id}/events`, {
      events: [{ type: 'user.message', content: [{ type: 'text', text: 'What did I ask first?' }] }],
    });
    await eventually(
      async () =>
        saidIn(
          await server
            .api<{ data: [] }>(`/v1/sessions/${session.id}/events?limit=100`)
            .then(({ data }) => data),
        ).includes('First: How many files?'),
      () => `the memory:\n${server.output().slice(-2_000)}`,
    );
  });

  it('says which command is missing', async () => {
    const session = await custom('no-such-program');
    expect(errorIn(await session.turn('hi'))).toMatch(/no-such-program/);
  });
});

describe('a program that misbehaves ends the turn with the reason, and the next turn works', () => {
  it.each([
    ['dies', /died\. It ended with code 3: I cannot find my shoes\./],
    ['rubbish', /does not speak ACP/],
    ['version', /speaks version 7 of ACP/],
    ['dies-later', /died\. It ended with code 4: out of ideas\./],
    ['flood', /was cut off/],
  ])('%s', async (kind, reason) => {
    const session = await misbehave(kind);
    expect(errorIn(await session.turn('hi'))).toMatch(reason);
    const next = await session.turn('and now?');
    expect([errorIn(next), saidIn(next)]).toEqual(['', 'Now I am good.']);
  });

  it.each(['silent', 'deaf'])(
    '%s, until a person stops it: it is killed, and that is no failure',
    async (kind) => {
      const session = await misbehave(kind);
      await session.say('hi');
      await eventually(async () => {
        const folder = sessionFolder(server, session.id);
        return folder !== undefined && existsSync(join(folder, 'home', 'was-here'));
      }, 'the program to start');
      await session.interrupt();
      expect(errorIn(await session.settled())).toBe('');
      const next = await session.turn('and now?');
      expect([errorIn(next), saidIn(next)]).toEqual(['', 'Now I am good.']);
    },
  );
});

describe('the choice of a program', () => {
  it('is a new version of the agent; a session that runs keeps its own', async () => {
    const session = await openSession(server, {});
    expect(saidIn(await session.turn('hello'))).toContain('offline model');
    await server.api(`/v1/agents/${session.agentId}`, {
      program: 'custom',
      program_command: ['node', '/opt/tagalong/custom/counter.ts'],
    });
    expect(saidIn(await session.turn('hello again'))).toContain('offline model');
    const { id } = await server.api<{ id: string }>('/v1/sessions', { agent: session.agentId });
    await server.api(`/v1/sessions/${id}/events`, {
      events: [{ type: 'user.message', content: [{ type: 'text', text: 'hello' }] }],
    });
    await eventually(
      async () =>
        saidIn(await server.api<{ data: [] }>(`/v1/sessions/${id}/events`).then(({ data }) => data)).includes(
          'There are 0 files',
        ),
      'the new program in a new session',
    );
  });
});
