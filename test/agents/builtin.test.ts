import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { connectAgent } from '../../src/agents/client.ts';
import { createPrograms } from '../../src/agents/profiles/index.ts';
import type { AgentConnection, AgentUpdate, McpServerAddress } from '../../src/agents/program.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { createHarness, type Harness, until } from '../sandbox/harness.ts';
import { startTestProxy, type TestProxy } from '../sandbox/test-proxy.ts';
import { flatten, ScriptedModel } from './anthropic-wire.ts';

let harness: Harness;
let proxy: TestProxy;
let model: ScriptedModel;
let greeted: string[];
const open: Sandbox[] = [];
let directory: string;
let count = 0;

beforeAll(async () => {
  harness = await createHarness();
  proxy = await startTestProxy((request, response, host) => {
    if (host === 'api.anthropic.com') void model.handle(request, response);
    else if (host === 'tagalong.internal') void handleMcp(request, response);
    else response.writeHead(404).end();
  });
});
beforeEach(() => {
  model = new ScriptedModel();
  greeted = [];
  count += 1;
  directory = join(harness.home.open, 'sessions', `agent-${count}`);
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((sandbox) => sandbox.close(0)));
});
afterAll(() => {
  proxy.close();
  harness.clear();
});

async function handleMcp(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'POST') return void response.writeHead(405).end();
  const server = new McpServer({ name: 'test', version: '1' });
  const input = { name: z.string() };
  server.registerTool('greet', { description: 'Greets.', inputSchema: input }, ({ name }) => {
    greeted.push(name);
    if (name === 'nobody')
      return { content: [{ type: 'text', text: 'refused: needs slack:dm.write' }], isError: true };
    return { content: [{ type: 'text', text: `Hello ${name}!` }] };
  });
  server.registerTool('read', { description: 'Has the name of a tool of our own.' }, () => ({ content: [] }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  await server.connect(transport as Parameters<typeof server.connect>[0]);
  await transport.handleRequest(request, response);
}

interface Started {
  sandbox: Sandbox;
  connection: AgentConnection;
}

async function start(
  options: { load?: string; mcpServers?: McpServerAddress[]; model?: string } = {},
): Promise<Started> {
  const openProgram = createPrograms({
    home: harness.home,
    vendors: ['anthropic'],
    install: () => Promise.reject(new Error('unused')),
  });
  const choice = { program: 'builtin', command: null, model: 'claude-test-1', system: '' };
  const program = await openProgram(choice, () => {});
  const sandbox = await harness.port.open(
    harness.spec(program.command, {
      directory,
      mounts: program.mounts,
      env: program.env,
      caCertificatePem: proxy.caCertificatePem,
      onListener: proxy.serve,
    }),
  );
  open.push(sandbox);
  const connection = await connectAgent({
    stdin: sandbox.stdin,
    stdout: sandbox.stdout,
    instructions: { system: 'You are Ada.', model: options.model ?? 'claude-test-1' },
    mcpServers: options.mcpServers ?? [],
    cwd: '/workspace',
    programSessionId: options.load,
  });
  return { sandbox, connection };
}

async function turn({ connection }: Started, text: string) {
  const updates: AgentUpdate[] = [];
  const result = await connection.prompt(text, (update) => updates.push(update));
  return { ...result, updates };
}

const mcpServers = [{ name: 'slack', url: 'http://tagalong.internal/mcp/slack' }];

test('a turn of text comes back whole, with thoughts and usage', async () => {
  const agent = await start();
  model.answers = [{ think: 'Easy.', say: 'It is a test.' }];
  const result = await turn(agent, 'What is this?');
  expect(result).toMatchObject({ stopReason: 'end_turn', finalMessage: 'It is a test.' });
  expect(result.updates).toEqual([
    { kind: 'thought', text: 'Easy.' },
    { kind: 'usage', inputTokens: 11, outputTokens: 7 },
    { kind: 'message', text: 'It is a test.' },
  ]);
  const [request] = model.requests;
  expect(JSON.stringify(request?.system)).toContain('You are Ada.');
  expect(request?.model).toBe('claude-test-1');
  expect(request?.tools?.map(({ name }) => name)).toEqual(['bash', 'read', 'write', 'edit', 'glob', 'grep']);
  expect(model.headers[0]?.['x-api-key']).toBe('placeholder');
});

test('the tools work on the workspace, and their results go to the model and into the updates', async () => {
  const agent = await start();
  model.answers = [
    {
      say: 'Let me see.',
      call: [{ name: 'bash', input: { command: 'pwd; echo one > a.txt; echo oops >&2; exit 4' } }],
    },
    {
      call: [
        { name: 'write', input: { path: 'src/deep/b.ts', content: 'const a = 1;\nconst b = 1;\n' } },
        { name: 'edit', input: { path: 'src/deep/b.ts', old_string: 'b = 1', new_string: 'b = 2' } },
        { name: 'read', input: { path: 'src/deep/b.ts' } },
        { name: 'glob', input: { pattern: '**/*.{ts,txt}' } },
        { name: 'grep', input: { pattern: '^const [ab] = [0-9]' } },
        { name: 'edit', input: { path: 'a.txt', old_string: 'absent', new_string: 'x' } },
        { name: 'read', input: { path: '/dev/zero' } },
        { name: 'read', input: { nothing: true } },
        { name: 'no_such_tool', input: {} },
      ],
    },
    { say: 'Done.' },
  ];
  const { finalMessage, updates } = await turn(agent, 'Work.');
  expect(finalMessage).toBe('Done.');
  const results = updates.filter((update) => update.kind === 'tool_result');
  expect(results[0]).toMatchObject({ isError: true, text: expect.stringContaining('/workspace') });
  expect(results[0]?.text).toContain('oops');
  expect(results[0]?.text).toContain('[exit code 4]');
  expect(results.slice(1, 6).map(({ isError }) => isError)).toEqual([false, false, false, false, false]);
  expect(results[3]?.text).toBe('1\tconst a = 1;\n2\tconst b = 2;');
  expect(results[4]?.text.split('\n').sort()).toEqual(['a.txt', 'src/deep/b.ts']);
  expect(results[5]?.text).toContain('src/deep/b.ts:2:const b = 2;');
  expect(results[6]).toMatchObject({ isError: true, text: expect.stringContaining('is not in') });
  expect(results[7]).toMatchObject({ isError: true, text: expect.stringContaining('not a regular file') });
  expect(results[8]).toMatchObject({ isError: true });
  const sent = flatten(model.requests[2]);
  for (const text of ['[exit code 4]', 'const b = 2;', 'not a regular file', 'no_such_tool'])
    expect(sent).toContain(text);
  const uses = updates.filter((update) => update.kind === 'tool_use');
  expect(uses[0]).toMatchObject({ name: 'bash', input: { command: expect.stringContaining('pwd') } });
});

test('a command that takes too long, floods, or leaves something behind does not stop the turn', async () => {
  const agent = await start();
  model.answers = [
    {
      call: [
        { name: 'bash', input: { command: 'sleep 60', timeout_ms: 300 } },
        { name: 'bash', input: { command: 'head -c 50000000 /dev/zero | tr "\\0" x; echo END' } },
        { name: 'bash', input: { command: 'sleep 600 & echo started' } },
      ],
    },
    { say: 'ok' },
  ];
  const { updates } = await turn(agent, 'go');
  const results = updates.filter((update) => update.kind === 'tool_result').map(({ text }) => text);
  expect(results[0]).toContain('ended after 300 ms');
  expect(results[1]?.length).toBeLessThan(31_000);
  expect(results[1]).toMatch(/bytes left out/);
  expect(results[1]).toMatch(/END$/);
  expect(results[2]).toBe('started');
});

test('tools of an MCP server are called over the proxy and told with their server', async () => {
  const agent = await start({ mcpServers });
  model.answers = [
    {
      call: [
        { name: 'greet', input: { name: 'Grace' } },
        { name: 'greet', input: { name: 'nobody' } },
      ],
    },
    { say: 'Greeted.' },
  ];
  const { finalMessage, updates } = await turn(agent, 'Greet.');
  expect(finalMessage).toBe('Greeted.');
  expect(greeted).toEqual(['Grace', 'nobody']);
  expect(model.requests[0]?.tools?.map(({ name }) => name)).toContain('slack_read');
  expect(updates.filter((update) => update.kind === 'tool_result')).toMatchObject([
    { text: 'Hello Grace!', isError: false, mcpServer: 'slack' },
    { text: 'refused: needs slack:dm.write', isError: true, mcpServer: 'slack' },
  ]);
});

test('an MCP server that is away is told to the model, and the turn goes on', async () => {
  const agent = await start({ mcpServers: [{ name: 'linear', url: 'http://away.internal/mcp' }] });
  model.answers = [{ say: 'Without it, then.' }];
  expect((await turn(agent, 'hi')).finalMessage).toBe('Without it, then.');
  expect(JSON.stringify(model.requests[0]?.system)).toContain('could not be reached in this turn: linear');
});

test('a conversation that is loaded in a new sandbox is remembered, and its history is not told again', async () => {
  const first = await start();
  model.answers = [{ call: [{ name: 'bash', input: { command: 'echo forty-two' } }] }, { say: 'I note it.' }];
  await turn(first, 'The number is forty-two.');
  await first.sandbox.close();
  const second = await start({ load: first.connection.programSessionId });
  expect(second.connection.resumed).toBe(true);
  expect(second.connection.programSessionId).toBe(first.connection.programSessionId);
  model.answers = [{ say: 'It is forty-two.' }];
  const { updates } = await turn(second, 'Which number?');
  expect(updates.filter(({ kind }) => kind !== 'usage')).toEqual([
    { kind: 'message', text: 'It is forty-two.' },
  ]);
  expect(flatten(model.requests.at(-1))).toContain('The number is forty-two.');
});

test('after kill -9 in the middle of a tool call the conversation goes on, with that call marked as interrupted', async () => {
  const first = await start();
  model.answers = [
    { say: 'I start it.', call: [{ name: 'bash', input: { command: 'touch running; sleep 600' } }] },
  ];
  const lost = turn(first, 'Run the long thing.').catch((error) => error);
  await until(() => readdirSync(join(directory, 'workspace')).includes('running'));
  await first.sandbox.close(0);
  expect(await lost).toMatchObject({ code: 'died' });
  const second = await start({ load: first.connection.programSessionId });
  expect(second.connection.resumed).toBe(true);
  model.answers = [{ say: 'I go on.' }];
  expect((await turn(second, 'Go on.')).finalMessage).toBe('I go on.');
  const sent = flatten(model.requests.at(-1));
  expect(sent).toContain('Run the long thing.');
  expect(sent).toContain('Interrupted');
});

test('a transcript whose last line is torn is loaded without it', async () => {
  const first = await start();
  model.answers = [{ say: 'Noted.' }];
  await turn(first, 'Remember the harbour.');
  await first.sandbox.close();
  const folder = join(directory, 'home', '.tagalong', 'sessions');
  const file = join(folder, readdirSync(folder)[0] ?? '');
  writeFileSync(file, `${readFileSync(file, 'utf8')}{"type":"message","message":{"role":"user","con`);
  const second = await start({ load: first.connection.programSessionId });
  model.answers = [{ say: 'The harbour.' }, { say: 'Again.' }];
  await turn(second, 'What?');
  expect(flatten(model.requests.at(-1))).toContain('Remember the harbour.');
  await second.sandbox.close();
  const third = await start({ load: first.connection.programSessionId });
  await turn(third, 'And now?');
  expect(flatten(model.requests.at(-1))).toContain('What?');
});

test('a conversation that is lost begins anew', async () => {
  const first = await start();
  await first.sandbox.close();
  rmSync(join(directory, 'home', '.tagalong'), { recursive: true });
  const second = await start({ load: first.connection.programSessionId });
  expect(second.connection.resumed).toBe(false);
  expect(second.connection.programSessionId).not.toBe(first.connection.programSessionId);
  for (const id of ['../../etc/passwd', 'conv_', '']) {
    const other = await start({ load: id });
    expect(other.connection.resumed).toBe(false);
  }
});

test('cancelling ends a command that runs, and the next turn works', async () => {
  const agent = await start();
  model.answers = [
    { call: [{ name: 'bash', input: { command: 'touch running; sleep 600; touch finished' } }] },
  ];
  const running = turn(agent, 'Run.');
  await until(() => readdirSync(join(directory, 'workspace')).includes('running'));
  await agent.connection.cancel();
  expect(await running).toMatchObject({ stopReason: 'cancelled' });
  model.answers = [{ say: 'Stopped.' }];
  expect((await turn(agent, 'What happened?')).finalMessage).toBe('Stopped.');
  expect(flatten(model.requests.at(-1))).toContain('the turn was cancelled');
});

test('cancelling while the model speaks keeps what was said', async () => {
  const agent = await start();
  const hang = Promise.withResolvers<void>();
  model.answers = [{ say: 'I was about to say', hang: hang.promise }];
  const updates: AgentUpdate[] = [];
  const running = agent.connection.prompt('Speak.', (update) => updates.push(update));
  await until(() => model.requests.length === 1);
  await agent.connection.cancel();
  expect(await running).toMatchObject({ stopReason: 'cancelled' });
  hang.resolve();
  model.answers = [{ say: 'Yes.' }];
  expect((await turn(agent, 'Go on?')).finalMessage).toBe('Yes.');
});

test('a model that is busy is asked again, after the time it wants', async () => {
  const agent = await start();
  const busy = { 'retry-after-ms': '20' };
  model.answers = [
    { status: 529, type: 'overloaded_error', headers: busy },
    { status: 429, type: 'rate_limit_error', headers: busy },
    { say: 'Here I am.' },
  ];
  expect((await turn(agent, 'hi')).finalMessage).toBe('Here I am.');
  expect(model.requests).toHaveLength(3);
});

test('an error at the beginning of a stream is tried again, one after text ends the turn', async () => {
  const agent = await start();
  model.answers = [{ breakOff: 'overloaded_error' }, { say: 'Second try.' }];
  expect((await turn(agent, 'hi')).finalMessage).toBe('Second try.');
  model.answers = [{ say: 'Half of', breakOff: 'overloaded_error' }];
  await expect(turn(agent, 'again')).rejects.toMatchObject({
    code: 'model_failed',
    message: expect.stringContaining('HTTP 529'),
  });
});

test('an answer whose connection ends in the middle ends the turn, and the conversation stays usable', async () => {
  const agent = await start();
  model.answers = [{ say: 'Half of it', cut: true }];
  await expect(turn(agent, 'hi')).rejects.toMatchObject({ code: 'model_failed' });
  model.answers = [{ say: 'Whole.' }];
  expect((await turn(agent, 'hi')).finalMessage).toBe('Whole.');
});

const failures: [number, string, RegExp][] = [
  [401, 'invalid x-api-key', /did not accept the platform's key/],
  [403, 'not allowed', /was refused \(HTTP 403\)/],
  [404, 'model: claude-test-1', /"claude-test-1" does not exist/],
  [400, 'prompt is too long: 210000 tokens', /too long for the model/],
  [400, 'tools.0: wrong', /HTTP 400\): tools.0: wrong/],
];
test('what a model refuses for good is told in words that a person understands, and the conversation stays usable', async () => {
  const agent = await start();
  for (const [status, message, words] of failures) {
    model.answers = [{ status, message, type: 'invalid_request_error' }];
    await expect(turn(agent, 'hi')).rejects.toMatchObject({
      code: 'model_failed',
      message: expect.stringMatching(words),
    });
  }
  expect(model.requests).toHaveLength(failures.length);
  model.answers = [{ say: 'Better.' }];
  expect((await turn(agent, 'hi')).finalMessage).toBe('Better.');
});

test('an answer that is cut at its length or refused says so', async () => {
  const agent = await start();
  model.answers = [
    { say: 'Long', stop: 'max_tokens' },
    { say: 'No', stop: 'refusal' },
  ];
  expect((await turn(agent, 'a')).stopReason).toBe('max_tokens');
  expect((await turn(agent, 'b')).stopReason).toBe('refusal');
});

test('a program that is killed for memory ends the turn as died, and the sandbox says why', async () => {
  const agent = await start();
  model.answers = [{ call: [{ name: 'bash', input: { command: 'kill -9 $PPID' } }] }];
  await expect(turn(agent, 'x')).rejects.toMatchObject({ code: 'died' });
  expect((await agent.sandbox.closed).reason).toBe('It was killed.');
});
