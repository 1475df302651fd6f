import { expect, test } from 'vitest';
import { createLineSplitter } from '../../src/agents/lines.ts';
import type { AgentUpdate } from '../../src/agents/program.ts';
import { createRateMeter } from '../../src/agents/rate.ts';
import { createTurnUpdates } from '../../src/agents/updates.ts';

function collect(...updates: unknown[]): { out: AgentUpdate[]; final: string } {
  const out: AgentUpdate[] = [];
  const turn = createTurnUpdates((update) => out.push(update));
  for (const update of updates) turn.push(update);
  return { final: turn.end(), out };
}
const chunk = (text: string, messageId?: string, kind = 'agent_message_chunk') => ({
  sessionUpdate: kind,
  content: { type: 'text', text },
  ...(messageId === undefined ? {} : { messageId }),
});

test('chunks are joined into messages, by their kind and their id', () => {
  const { out, final } = collect(
    chunk('One '),
    chunk('two'),
    chunk('hm', undefined, 'agent_thought_chunk'),
    chunk('three', 'a'),
    chunk('four', 'b'),
    chunk(''),
  );
  expect(out).toEqual([
    { kind: 'message', text: 'One two' },
    { kind: 'thought', text: 'hm' },
    { kind: 'message', text: 'three' },
    { kind: 'message', text: 'four' },
  ]);
  expect(final).toBe('One two\n\nthree\n\nfour');
});

test('the final message is what is said after the last tool call', () => {
  const { final } = collect(
    chunk('I look.'),
    { sessionUpdate: 'tool_call', toolCallId: '1', title: 'bash', rawInput: { command: 'ls' } },
    { sessionUpdate: 'tool_call_update', toolCallId: '1', status: 'completed' },
    chunk('All '),
    chunk('good.'),
  );
  expect(final).toBe('All good.');
  expect(collect(chunk('Only before.'), { sessionUpdate: 'tool_call', toolCallId: '1' }).final).toBe('');
});

test('a tool call whose input comes later is told once, with it', () => {
  const { out } = collect(
    {
      sessionUpdate: 'tool_call',
      toolCallId: '1',
      title: 'Run ls',
      kind: 'execute',
      status: 'pending',
      rawInput: {},
    },
    {
      sessionUpdate: 'tool_call_update',
      toolCallId: '1',
      status: 'in_progress',
      rawInput: { command: 'ls' },
    },
    {
      sessionUpdate: 'tool_call_update',
      toolCallId: '1',
      status: 'completed',
      content: [
        { type: 'content', content: { type: 'text', text: 'a.txt' } },
        { type: 'diff', path: '/workspace/a.txt', newText: 'x' },
        { type: 'terminal', terminalId: 't' },
      ],
    },
    { sessionUpdate: 'tool_call_update', toolCallId: '2', status: 'failed', rawOutput: { code: 1 } },
    { sessionUpdate: 'tool_call', toolCallId: '3', title: 'never ends' },
  );
  expect(out).toEqual([
    { kind: 'tool_use', toolUseId: '1', name: 'Run ls', input: { command: 'ls' } },
    { kind: 'diff', toolUseId: '1', path: '/workspace/a.txt', oldText: null, newText: 'x' },
    { kind: 'tool_result', toolUseId: '1', text: 'a.txt\nChanged /workspace/a.txt.', isError: false },
    { kind: 'tool_use', toolUseId: '2', name: 'tool', input: {} },
    { kind: 'tool_result', toolUseId: '2', text: '{"code":1}', isError: true },
    { kind: 'tool_use', toolUseId: '3', name: 'never ends', input: {} },
  ]);
});

test("OpenCode's call, announced with half of its input, is told once it has all of it", () => {
  const { out } = collect(
    {
      sessionUpdate: 'tool_call',
      toolCallId: '1',
      title: 'bash',
      status: 'pending',
      rawInput: { cwd: '/workspace' },
    },
    {
      sessionUpdate: 'tool_call_update',
      toolCallId: '1',
      status: 'in_progress',
      title: 'ls',
      rawInput: { command: 'ls', cwd: '/workspace' },
    },
    {
      sessionUpdate: 'tool_call_update',
      toolCallId: '1',
      status: 'completed',
      content: [{ type: 'content', content: { type: 'text', text: 'a' } }],
      rawOutput: { output: 'a' },
    },
  );
  expect(out).toEqual([
    { kind: 'tool_use', toolUseId: '1', name: 'bash', input: { command: 'ls', cwd: '/workspace' } },
    { kind: 'tool_result', toolUseId: '1', text: 'a', isError: false },
  ]);
});

test("Claude Code's call has its own name, and Codex' the output of its terminal", () => {
  const { out } = collect(
    {
      sessionUpdate: 'tool_call',
      toolCallId: '1',
      title: 'Terminal',
      status: 'pending',
      rawInput: {},
      _meta: { claudeCode: { toolName: 'Bash' } },
    },
    { sessionUpdate: 'tool_call_update', toolCallId: '1', rawInput: { command: 'ls' } },
    { sessionUpdate: 'tool_call_update', toolCallId: '1', status: 'completed', rawOutput: 'a' },
    {
      sessionUpdate: 'tool_call',
      toolCallId: '2',
      name: 'exec_command',
      title: 'ls',
      status: 'in_progress',
      content: [{ type: 'terminal', terminalId: '2' }],
      rawInput: { command: 'ls' },
    },
    { sessionUpdate: 'tool_call_update', toolCallId: '2', _meta: { terminal_output_delta: { data: 'a\n' } } },
    {
      sessionUpdate: 'tool_call_update',
      toolCallId: '2',
      status: 'completed',
      _meta: { terminal_output_delta: { data: 'b\n' } },
    },
  );
  expect(out).toEqual([
    { kind: 'tool_use', toolUseId: '1', name: 'Bash', input: { command: 'ls' } },
    { kind: 'tool_result', toolUseId: '1', text: 'a', isError: false },
    { kind: 'tool_use', toolUseId: '2', name: 'exec_command', input: { command: 'ls' } },
    { kind: 'tool_result', toolUseId: '2', text: 'a\nb\n', isError: false },
  ]);
});

test('a tool of an MCP server is told as that, however the program calls it', () => {
  for (const title of [
    'mcp__slack__slack_reply',
    'slack_slack_reply',
    'mcp.slack.slack_reply',
    'slack.slack_reply',
  ]) {
    const out: AgentUpdate[] = [];
    const turn = createTurnUpdates((update) => out.push(update), ['slack']);
    turn.push({
      sessionUpdate: 'tool_call',
      toolCallId: '1',
      title,
      status: 'in_progress',
      rawInput: { text: 'x' },
    });
    turn.push({ sessionUpdate: 'tool_call_update', toolCallId: '1', status: 'completed' });
    expect(out).toEqual([
      { kind: 'tool_use', toolUseId: '1', name: 'slack_reply', input: { text: 'x' }, mcpServer: 'slack' },
      { kind: 'tool_result', toolUseId: '1', text: '', isError: false, mcpServer: 'slack' },
    ]);
  }
});

test('notices are kept apart from the answer, menus are dropped, what is unknown is kept', () => {
  const { out, final } = collect(
    { sessionUpdate: 'notice', severity: 'warning', title: 'Old model.', description: 'Use another.' },
    { sessionUpdate: 'available_commands_update', availableCommands: [{ name: 'x' }] },
    { sessionUpdate: 'session_info_update', title: 'x' },
    { sessionUpdate: 'hologram', shape: 'cube' },
    chunk('Done.'),
  );
  expect(final).toBe('Done.');
  expect(out).toEqual([
    { kind: 'notice', severity: 'warning', text: 'Old model.\nUse another.' },
    { kind: 'unknown', name: 'hologram', detail: { shape: 'cube' } },
    { kind: 'message', text: 'Done.' },
  ]);
});

test('usage is what the program says of each model call, else what its answer says of the turn', () => {
  const answered = { inputTokens: 10, outputTokens: 2, cachedReadTokens: 7 };
  const others: AgentUpdate[] = [];
  const turn = createTurnUpdates((update) => others.push(update));
  turn.push({ sessionUpdate: 'usage_update', used: 5, size: 100 });
  turn.push({ sessionUpdate: 'usage_update', used: 12, size: 100, cost: { amount: 0.5, currency: 'USD' } });
  turn.end(answered);
  expect(others).toEqual([
    { kind: 'context', usedTokens: 12, sizeTokens: 100, costUsd: 0.5 },
    { kind: 'usage', inputTokens: 10, outputTokens: 2, cacheReadTokens: 7 },
  ]);
  const ours: AgentUpdate[] = [];
  const own = createTurnUpdates((update) => ours.push(update));
  own.push({
    sessionUpdate: 'usage_update',
    used: 5,
    size: 1,
    _meta: { tagalong: { inputTokens: 4, outputTokens: 1 } },
  });
  own.end(answered);
  expect(ours).toEqual([{ kind: 'usage', inputTokens: 4, outputTokens: 1 }]);
});

test('whatever comes, nothing is thrown and nothing grows without bound', () => {
  const { out } = collect(
    undefined,
    null,
    7,
    [],
    {},
    { sessionUpdate: 'tool_call' },
    { sessionUpdate: 'agent_message_chunk', content: { type: 'image', data: 'x' } },
    { sessionUpdate: 'plan', entries: [{ content: 'step', status: 'pending' }, null, 'x'] },
    { sessionUpdate: 'usage_update', used: 5, size: 10 },
    { sessionUpdate: 'usage_update', _meta: { tagalong: { inputTokens: 'many', outputTokens: -3 } } },
    { sessionUpdate: 'from_the_future', big: 'x'.repeat(10_000) },
    { sessionUpdate: 'x'.repeat(10_000) },
    {
      sessionUpdate: 'tool_call_update',
      toolCallId: 'a'.repeat(5_000),
      status: 'completed',
      rawOutput: 'y'.repeat(500_000),
    },
    chunk('z'.repeat(3_000_000)),
  );
  expect(JSON.stringify(out).length).toBeLessThan(1_200_000);
  expect(out.map(({ kind }) => kind)).toContain('plan');
  expect(out).toContainEqual({ kind: 'usage', inputTokens: 0, outputTokens: 0 });
  expect(out).toContainEqual({ kind: 'unknown', name: 'from_the_future', detail: {} });
});

test('lines are split wherever the chunks end, and held up to a bound', () => {
  const text = 'one\ntwo\n\nthrée\nrest';
  const bytes = Buffer.from(text);
  for (let size = 1; size <= bytes.length; size++) {
    const splitter = createLineSplitter(16);
    const lines: string[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      const found = splitter.push(bytes.subarray(at, at + size));
      if (found === 'too_long') throw new Error('too long');
      lines.push(...found.map(String));
    }
    expect([...lines, String(splitter.rest())]).toEqual(['one', 'two', '', 'thrée', 'rest']);
  }
  expect(createLineSplitter(4).push(Buffer.from('12345\n'))).toBe('too_long');
  expect(createLineSplitter(4).push(Buffer.from('12345'))).toBe('too_long');
  expect(createLineSplitter(4).push(Buffer.from('1234\n1234'))).toHaveLength(1);
});

test('a rate allows a burst, then its average', () => {
  let now = 0;
  const fits = createRateMeter({ perSecond: 10, burst: 5 }, () => now);
  expect([fits(5), fits(1)]).toEqual([true, false]);
  now = 100;
  expect([fits(1), fits(1)]).toEqual([true, false]);
  now = 1_000_000;
  expect([fits(5), fits(1)]).toEqual([true, false]);
});
