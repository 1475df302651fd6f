import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysOf, leaksBelow, processesOf } from './program-keys.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { agentMessages, postInSlack, stateOf } from './workplace-state.ts';

let server: TestServer;
const start = async (options: Parameters<typeof startServer>[0] = {}) => {
  server = await startServer(options);
};
const restart = () => start({ home: server.home, apiKey: server.apiKey });

/** Lets the agent of the workplace be run by OpenCode from now on. */
async function choose(model: string): Promise<void> {
  const { data } = await server.api<{ data: { id: string }[] }>('/v1/agents');
  const changed = await server.api<{ program: string }>(`/v1/agents/${data[0]?.id}`, {
    program: 'opencode',
    model,
  });
  expect(changed.program).toBe('opencode');
}

beforeAll(async () => {
  await start();
  await choose('openai/gpt-5.1');
});
afterAll(() => cleanUp(server));

/** Its first start installs it. */
const startMs = 240_000;
const answer = (threadTs: string, pattern: RegExp) =>
  eventually(
    async () => (await agentMessages(server, threadTs)).find((text) => pattern.test(text)),
    () => `an answer like ${pattern}:\n${server.output().slice(-4_000)}`,
    startMs,
  );
const repository = { owner: 'acme', repo: 'widgets' };

describe('the real OpenCode, in its sandbox, with the offline model', () => {
  let thread: string;

  it('answers a mention in Slack, from its workspace', { timeout: startMs }, async () => {
    const { agent } = await stateOf(server);
    thread = await postInSlack(server, `${agent.slackHandle} run \`echo sum-$((6*7)) $(pwd)\``);
    expect(await answer(thread, /sum-42/)).toContain('/workspace');
    expect(await agentMessages(server, thread)).toHaveLength(1);
    const { data } = await server.api<{ data: { id: string }[] }>('/v1/sessions');
    const events = await server.api<{ data: { type: string }[] }>(
      `/v1/sessions/${data[0]?.id}/events?limit=100`,
    );
    expect(events.data.map(({ type }) => type)).toEqual(
      expect.arrayContaining([
        'tagalong.program_install',
        'agent.tool_use',
        'agent.tool_result',
        'agent.message',
        'span.model_request_end',
      ]),
    );
    expect(events.data.find(({ type }) => type === 'agent.tool_use')).toMatchObject({
      name: 'bash',
      input: { command: 'echo sum-$((6*7)) $(pwd)' },
    });
  });

  it("calls the tools of the place, through the same gate, under the place's own names", async () => {
    const { agent } = await stateOf(server);
    const ts = await postInSlack(
      server,
      `${agent.slackHandle} use the tool \`slack_read_thread\` with {"limit": 5}`,
    );
    await answer(ts, /slack_read_thread/);
    const { data } = await server.api<{ data: { tool: string; state: string }[] }>('/v1/actions?limit=100');
    expect(data.map(({ tool }) => tool)).toContain('reply');
    const sessions = await server.api<{ data: { id: string }[] }>('/v1/sessions');
    const events = await server.api<{ data: { type: string }[] }>(
      `/v1/sessions/${sessions.data[0]?.id}/events`,
    );
    expect(events.data.find(({ type }) => type === 'agent.mcp_tool_use')).toMatchObject({
      name: 'slack_read_thread',
      mcp_server_name: 'slack',
    });
  });

  it('answers an issue on GitHub that gets its label', async () => {
    const { agent, people } = await stateOf(server);
    const personId = people[0]?.id;
    const { number } = await server.workplace<{ number: number }>('/github/issues', {
      personId,
      ...repository,
      title: 'Which kernel?',
      body: 'Please run `uname -s` and tell us.',
    });
    await server.workplace(`/github/issues/${number}/labels`, {
      personId,
      ...repository,
      labels: [agent.label],
    });
    await eventually(
      async () => {
        const issue = (await stateOf(server)).github.issues.find((each) => each.number === number);
        return issue?.comments.some(({ author, body }) => author.isBot && body.includes('Linux'));
      },
      () => `the comment:\n${server.output().slice(-3_000)}`,
    );
  });

  it('answers an issue on Linear that is delegated to it', async () => {
    const { people } = await stateOf(server);
    const { id } = await server.workplace<{ id: string }>('/linear/issues', {
      personId: people[0]?.id,
      title: 'Count',
      description: 'Please run `echo linear-$((40+2))`.',
    });
    await server.workplace(`/linear/issues/${id}/delegate`, { personId: people[0]?.id });
    await eventually(
      async () => {
        const issue = (await stateOf(server)).linear.issues.find((each) => each.id === id);
        return issue?.sessions.some(({ activities }) =>
          activities.some(({ body }) => body.includes('linear-42')),
        );
      },
      () => `the answer:\n${server.output().slice(-3_000)}`,
    );
  });

  it('remembers after the server, and with it its sandbox, was stopped and after it was killed', async () => {
    await server.stop();
    await restart();
    await postInSlack(server, 'What did I ask first?', thread);
    expect(await answer(thread, /First you asked/)).toContain('sum-');
    await server.kill();
    await restart();
    await postInSlack(server, 'And what did I say before?', thread);
    expect(await answer(thread, /Before this you asked/)).toContain('What did I ask first?');
  });

  it("speaks Anthropic's wire as well", async () => {
    await choose('claude-sonnet-4-5');
    const { agent } = await stateOf(server);
    const ts = await postInSlack(server, `${agent.slackHandle} run \`echo wire-$((2*21))\``);
    await answer(ts, /wire-42/);
    const { data } = await server.api<{ data: { host: string; credential: string | null }[] }>(
      '/v1/egress_requests?limit=200',
    );
    for (const host of ['api.anthropic.com', 'api.openai.com']) {
      expect(data.find((row) => row.host === host && row.credential !== null)?.credential).toMatch(
        /model key/,
      );
    }
  });

  it('has the key of the model nowhere: not in its processes, not in what it stores', async () => {
    const { agent } = await stateOf(server);
    const keys = keysOf(server.home);
    expect(keys.length).toBeGreaterThan(0);
    await postInSlack(server, `${agent.slackHandle} run \`sleep 6; echo rested\``);
    const running = await eventually(async () => {
      const found = processesOf(server.process.pid ?? 0, 'opencode');
      return found.length > 0 && found;
    }, 'OpenCode to run');
    for (const { environment, commandLine } of running) {
      for (const key of keys) expect(environment + commandLine).not.toContain(key);
      expect(environment).toContain('NO_PROXY=127.0.0.1,localhost,::1');
    }
    const sessions = join(server.home, 'open', 'sessions');
    expect(readdirSync(sessions).length).toBeGreaterThan(2);
    expect(leaksBelow(sessions, keys)).toEqual([]);
    expect(readFileSync(join(server.home, 'private', 'workplace', 'workplace.json'), 'utf8')).toContain(
      keys[0],
    );
  });
});
