import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysOf, leaksBelow, processesOf } from '../acceptance/program-keys.ts';
import { cleanUp, startServer, type TestServer } from '../acceptance/server.ts';
import { type ApiSession, errorIn, joinSession, openSession, saidIn } from '../acceptance/sessions-api.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => cleanUp(server));

const programs = [
  { program: 'claude', model: 'claude-sonnet-4-5', tool: 'Bash', process: 'claude' },
  { program: 'codex', model: 'openai/gpt-5.1', tool: 'exec_command', process: 'codex' },
] as const;

describe.each(programs)(
  'the real $program, in its sandbox, with the offline model',
  ({ program, model, tool, process }) => {
    let session: ApiSession;

    it('is installed, starts, and makes a turn with a tool of its own', async () => {
      session = await openSession(server, { program, model, system: 'You are Ada.' });
      const events = await session.turn('run `echo sum-$((6*7)) $(pwd)`');
      expect([errorIn(events), saidIn(events)]).toEqual(['', expect.stringContaining('sum-42 /workspace')]);
      expect(events.find(({ type }) => type === 'agent.tool_use')).toMatchObject({
        name: tool,
        input: { command: 'echo sum-$((6*7)) $(pwd)' },
      });
      const result = events.find(({ type }) => type === 'agent.tool_result');
      expect(JSON.stringify(result)).toContain('sum-42');
      expect(events.map(({ type }) => type)).toContain('span.model_request_end');
    });

    it('has the key of the model nowhere', async () => {
      const keys = keysOf(server.home);
      const running = processesOf(server.process.pid ?? 0, '').filter(({ commandLine }) =>
        commandLine.includes(process),
      );
      expect(running.length).toBeGreaterThan(0);
      for (const { environment, commandLine } of running) {
        for (const key of keys) expect(environment + commandLine).not.toContain(key);
      }
      expect(leaksBelow(join(server.home, 'open', 'sessions', session.id), keys)).toEqual([]);
    });

    it('ends its turn when it is stopped', async () => {
      await session.say('run `timeout 60 tail -f /dev/null; echo late`');
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      await session.interrupt();
      const events = await session.settled();
      expect([errorIn(events), saidIn(events)]).toEqual(['', expect.not.stringContaining('late')]);
    });

    it('remembers after it was killed with the server', async () => {
      const { length } = await session.events();
      await server.kill();
      server = await startServer({ home: server.home, apiKey: server.apiKey });
      session = joinSession(server, session.id, session.agentId, length);
      const events = await session.turn('What did I ask first?');
      expect([errorIn(events), saidIn(events)]).toEqual([
        '',
        expect.stringMatching(/First you asked: .*sum-/),
      ]);
    });
  },
);

describe('the real Gemini CLI', () => {
  it('says at once that no key of its vendor is configured', async () => {
    const session = await openSession(server, { program: 'gemini', model: 'google/gemini-2.5-pro' });
    expect(errorIn(await session.turn('hello'))).toMatch(
      /No key for the model google\/gemini-2.5-pro is configured/,
    );
  });

  it('is installed, starts and makes a turn, with the key put on outside', async () => {
    const asked: { path: string; key: unknown; body: string }[] = [];
    const vendor = createServer(async (request, response) => {
      let body = '';
      for await (const part of request) body += part;
      asked.push({ path: request.url ?? '', key: request.headers['x-goog-api-key'], body });
      const candidate = {
        content: { role: 'model', parts: [{ text: 'I am Gemini.' }] },
        finishReason: 'STOP',
        index: 0,
      };
      const usageMetadata = { promptTokenCount: 3, candidatesTokenCount: 2, totalTokenCount: 5 };
      const answer = JSON.stringify({ candidates: [candidate], usageMetadata });
      const isStream = request.url?.includes('streamGenerateContent');
      response.setHeader('content-type', isStream ? 'text/event-stream' : 'application/json');
      response.end(isStream ? `data: ${answer}\n\n` : answer);
    });
    await new Promise<void>((resolve) => vendor.listen(0, '127.0.0.1', resolve));
    const { port } = vendor.address() as AddressInfo;
    const own = await startServer({
      env: { GEMINI_API_KEY: 'operators-own-google-key', GEMINI_BASE_URL: `http://127.0.0.1:${port}` },
    });
    try {
      const session = await openSession(own, {
        program: 'gemini',
        model: 'google/gemini-2.5-pro',
        system: 'You are Ada the exact.',
      });
      const events = await session.turn('hello');
      expect([errorIn(events), saidIn(events)]).toEqual(['', 'I am Gemini.']);
      expect(asked[0]).toMatchObject({
        key: 'operators-own-google-key',
        body: expect.stringContaining('Ada the exact'),
      });
      expect(leaksBelow(join(own.home, 'open', 'sessions'), ['operators-own-google-key'])).toEqual([]);
    } finally {
      await cleanUp(own);
      vendor.close();
    }
  });
});
