import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { connectAgent } from '../../src/agents/client.ts';
import type { AgentConnection, AgentUpdate, ConnectInput } from '../../src/agents/program.ts';

type Message = { id?: unknown; method?: string; params?: Record<string, unknown>; result?: unknown };

/** A program at the other end of two pipes: what it does is the test's. */
class FakeProgram {
  readonly stdin = new PassThrough();
  readonly stdout = new PassThrough();
  readonly received: Message[] = [];
  readonly waiting: (() => void)[] = [];
  answers: Record<string, (message: Message, program: FakeProgram) => unknown> = {
    initialize: () => ({
      protocolVersion: 1,
      agentCapabilities: { loadSession: true, mcpCapabilities: { http: true } },
    }),
    'session/new': () => ({ sessionId: 'new-1' }),
    'session/load': () => ({}),
    'session/prompt': () => ({ stopReason: 'end_turn' }),
  };

  constructor() {
    let held = '';
    this.stdin.on('data', (chunk: Buffer) => {
      held += chunk.toString('utf8');
      for (let end = held.indexOf('\n'); end !== -1; end = held.indexOf('\n')) {
        const message = JSON.parse(held.slice(0, end)) as Message;
        held = held.slice(end + 1);
        void this.receive(message);
      }
    });
  }

  async receive(message: Message): Promise<void> {
    this.received.push(message);
    for (const wake of this.waiting.splice(0)) wake();
    const answer = message.method ? this.answers[message.method] : undefined;
    if (!answer || message.id === undefined) return;
    const result = await answer(message, this);
    if (result instanceof Error)
      this.send({ id: message.id, error: { code: -32603, message: result.message } });
    else if (result !== undefined) this.send({ id: message.id, result });
  }

  send(message: object): void {
    this.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }
  write(text: string | Buffer): void {
    this.stdout.write(text);
  }
  update(update: object, sessionId = 'new-1'): void {
    this.send({ method: 'session/update', params: { sessionId, update } });
  }
  say(text: string): void {
    this.update({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } });
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  connect(changes: Partial<ConnectInput> = {}): Promise<AgentConnection> {
    return connectAgent({
      stdin: this.stdin,
      stdout: this.stdout,
      instructions: { system: 'Be kind.', model: 'claude-x' },
      mcpServers: [{ name: 'slack', url: 'http://tagalong.internal/mcp/slack' }],
      cwd: '/workspace',
      programSessionId: undefined,
      ...changes,
    });
  }
}

test('the program is offered neither files nor terminals, and gets its instructions and servers', async () => {
  const program = new FakeProgram();
  const connection = await program.connect();
  expect(connection).toMatchObject({ programSessionId: 'new-1', resumed: false });
  const [hello, start] = program.received;
  expect(hello?.params).toMatchObject({ protocolVersion: 1, clientCapabilities: {} });
  expect(JSON.stringify(hello?.params)).not.toMatch(/readTextFile|terminal|fs/);
  expect(start?.params).toEqual({
    cwd: '/workspace',
    mcpServers: [{ type: 'http', name: 'slack', url: 'http://tagalong.internal/mcp/slack', headers: [] }],
    _meta: { tagalong: { system: 'Be kind.', model: 'claude-x' } },
  });
});

test('what it asks to do is allowed once, and nothing for longer', async () => {
  const program = new FakeProgram();
  await program.connect();
  const option = (kind: string) => ({ optionId: `the-${kind}`, name: kind, kind });
  const params = (...kinds: string[]) => ({
    sessionId: 'new-1',
    toolCall: { toolCallId: 't' },
    options: kinds.map(option),
  });
  const outcomeOf = async (id: string, value: unknown) => {
    program.send({ id, method: 'session/request_permission', params: value });
    await program.until(() => program.received.some((message) => message.id === id));
    return program.received.find((message) => message.id === id)?.result;
  };
  expect(await outcomeOf('a', params('allow_always', 'allow_once', 'reject_once'))).toEqual({
    outcome: { outcome: 'selected', optionId: 'the-allow_once' },
  });
  expect(await outcomeOf('b', params('allow_always', 'reject_once'))).toEqual({
    outcome: { outcome: 'cancelled' },
  });
  expect(await outcomeOf('c', { options: 'nonsense' })).toEqual({ outcome: { outcome: 'cancelled' } });
});

test('files and terminals of ours are refused when it asks for them all the same', async () => {
  const program = new FakeProgram();
  await program.connect();
  for (const method of [
    'fs/read_text_file',
    'fs/write_text_file',
    'terminal/create',
    'elicitation/create',
    'no/such',
  ]) {
    program.send({ id: method, method, params: { sessionId: 'new-1', path: '/etc/passwd', command: 'id' } });
    await program.until(() => program.received.some((message) => message.id === method));
    expect(program.received.find((message) => message.id === method)).toHaveProperty('error');
  }
});

test('updates come in order and before the turn ends, and only those of this conversation', async () => {
  const program = new FakeProgram();
  const connection = await program.connect();
  program.say('before the turn');
  program.send({ id: 'ping', method: 'no/such' });
  await program.until(() => program.received.some(({ id }) => id === 'ping'));
  program.answers['session/prompt'] = () => {
    for (let n = 0; n < 500; n++) program.say(`${n} `);
    program.update(
      { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: 'foreign' } },
      'other',
    );
    return { stopReason: 'end_turn' };
  };
  const updates: AgentUpdate[] = [];
  const { finalMessage } = await connection.prompt('hi', (update) => updates.push(update));
  expect(finalMessage).toBe(Array.from({ length: 500 }, (_, n) => `${n}`).join(' '));
  expect(updates).toHaveLength(1);
});

test('a conversation is loaded and its history dropped; one that is gone begins anew', async () => {
  const program = new FakeProgram();
  program.answers['session/load'] = () => {
    program.update({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: 'old' } }, 'old-1');
    return {};
  };
  const connection = await program.connect({ programSessionId: 'old-1' });
  expect(connection).toMatchObject({ programSessionId: 'old-1', resumed: true });
  const updates: AgentUpdate[] = [];
  expect(await connection.prompt('hi', (update) => updates.push(update))).toEqual({
    stopReason: 'end_turn',
    finalMessage: '',
  });
  expect(updates).toEqual([]);

  const forgetful = new FakeProgram();
  forgetful.answers['session/load'] = () => new Error('no such session');
  expect(await forgetful.connect({ programSessionId: 'old-1' })).toMatchObject({
    programSessionId: 'new-1',
    resumed: false,
  });

  const unable = new FakeProgram();
  unable.answers.initialize = () => ({
    protocolVersion: 1,
    agentCapabilities: { mcpCapabilities: { http: true } },
  });
  expect(await unable.connect({ programSessionId: 'old-1' })).toMatchObject({ resumed: false });
  expect(unable.received.map(({ method }) => method)).not.toContain('session/load');
});

test('cancelling asks the program, whose answer ends the turn', async () => {
  const program = new FakeProgram();
  const connection = await program.connect();
  const asked = Promise.withResolvers<unknown>();
  program.answers['session/prompt'] = () => asked.promise;
  const running = connection.prompt('hi', () => {});
  await program.until(() => program.received.some(({ method }) => method === 'session/prompt'));
  await connection.cancel();
  await program.until(() => program.received.some(({ method }) => method === 'session/cancel'));
  asked.resolve({ stopReason: 'cancelled' });
  expect(await running).toMatchObject({ stopReason: 'cancelled' });
});

test('two turns at once are refused, one after the other are not', async () => {
  const program = new FakeProgram();
  const connection = await program.connect();
  const first = connection.prompt('a', () => {});
  await expect(connection.prompt('b', () => {})).rejects.toThrow(/running turn/);
  await first;
  await expect(connection.prompt('c', () => {})).resolves.toMatchObject({ stopReason: 'end_turn' });
});

test('another version of the protocol is refused', async () => {
  const program = new FakeProgram();
  program.answers.initialize = () => ({ protocolVersion: 2 });
  await expect(program.connect()).rejects.toMatchObject({
    code: 'protocol',
    message: expect.stringContaining('version 2'),
  });
});

test('a program that cannot use our tools is refused with that reason', async () => {
  const program = new FakeProgram();
  program.answers.initialize = () => ({ protocolVersion: 1 });
  await expect(program.connect()).rejects.toMatchObject({ code: 'start_failed' });
  await expect(new FakeProgram().connect({ mcpServers: [] })).resolves.toBeDefined();
});

test('a program that does not answer in time is given up', async () => {
  const program = new FakeProgram();
  program.answers = {};
  await expect(program.connect({ startTimeoutMs: 30 })).rejects.toMatchObject({ code: 'start_failed' });
});

test('a program that dies ends the start and the turn', async () => {
  const early = new FakeProgram();
  early.answers.initialize = () => void early.stdout.end();
  await expect(early.connect()).rejects.toMatchObject({ code: 'died' });

  const late = new FakeProgram();
  const connection = await late.connect();
  late.answers['session/prompt'] = () => {
    late.say('I was');
    late.stdout.end();
    return undefined;
  };
  const updates: AgentUpdate[] = [];
  await expect(connection.prompt('hi', (update) => updates.push(update))).rejects.toMatchObject({
    code: 'died',
  });
  expect(updates).toEqual([{ kind: 'message', text: 'I was' }]);
  await expect(connection.prompt('again', () => {})).rejects.toMatchObject({ code: 'died' });
});

test('giving the connection up rejects what is pending', async () => {
  const program = new FakeProgram();
  const connection = await program.connect();
  program.answers['session/prompt'] = () => undefined;
  const running = connection.prompt('hi', () => {});
  connection.dispose();
  await expect(running).rejects.toMatchObject({ code: 'died' });
});

test('a banner is tolerated, a program that only prints is not', async () => {
  const polite = new FakeProgram();
  polite.write('Welcome!\n\n[1,2]\n"text"\n{"jsonrpc":"2.0"}\n{"broken\n');
  await expect(polite.connect()).resolves.toMatchObject({ programSessionId: 'new-1' });

  const chatty = new FakeProgram();
  chatty.answers = {};
  for (let n = 0; n < 30; n++) chatty.write(`line ${n}\n`);
  await expect(chatty.connect()).rejects.toMatchObject({ code: 'protocol' });
});

test('a line without an end is cut off at its bound', async () => {
  const program = new FakeProgram();
  const connection = await program.connect();
  program.answers['session/prompt'] = () => {
    const piece = Buffer.alloc(1024 * 1024, 'x');
    for (let n = 0; n < 9; n++) program.write(piece);
    return undefined;
  };
  await expect(connection.prompt('hi', () => {})).rejects.toMatchObject({ code: 'flood' });
});

test('more messages than anything needs are cut off', async () => {
  const program = new FakeProgram();
  const connection = await program.connect();
  program.answers['session/prompt'] = () => {
    const line = `${JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: {} })}\n`;
    program.write(line.repeat(80_000));
    return undefined;
  };
  await expect(connection.prompt('hi', () => {})).rejects.toMatchObject({ code: 'flood' });
});

test('answers to questions that were not asked, or twice, are ignored', async () => {
  const program = new FakeProgram();
  program.answers.initialize = (message) => {
    program.send({ id: 77, result: { protocolVersion: 9 } });
    program.send({ id: '0', result: { protocolVersion: 9 } });
    const result = { protocolVersion: 1, agentCapabilities: { mcpCapabilities: { http: true } } };
    program.send({ id: message.id, result });
    program.send({ id: message.id, result: { protocolVersion: 9 } });
    return undefined;
  };
  await expect(program.connect()).resolves.toMatchObject({ programSessionId: 'new-1' });
});

test('answers of the wrong shape end the start with that reason', async () => {
  for (const wrong of [{ sessionId: 7 }, [], 'text', null]) {
    const program = new FakeProgram();
    program.answers['session/new'] = () => wrong;
    await expect(program.connect()).rejects.toMatchObject({ code: 'protocol' });
  }
});

test('an error of the program ends the turn in one plain line, and the conversation stays usable', async () => {
  const program = new FakeProgram();
  const connection = await program.connect();
  program.answers['session/prompt'] = () => new Error(`the model\n\u001b[31mis away ${'x'.repeat(1000)}`);
  const error: Error = await connection
    .prompt('hi', () => {})
    .then(
      () => Promise.reject(new Error('it went through')),
      (reason) => reason,
    );
  expect(error).toMatchObject({ code: 'model_failed' });
  expect(error.message).toMatch(/^The agent program reported an error: the model \[31mis away x+…$/);
  expect(error.message.length).toBeLessThan(400);
  program.answers['session/prompt'] = () => ({ stopReason: 'end_turn' });
  await expect(connection.prompt('hi', () => {})).resolves.toBeDefined();
});
