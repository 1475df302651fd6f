import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { agentMessages, postInSlack, stateOf } from './workplace-state.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => cleanUp(server));

interface Delivery {
  id: string;
  outcome: { kind: string; reason?: string; message?: string; session_id?: string };
}

const deliveries = async () => (await server.api<{ data: Delivery[] }>('/v1/deliveries?limit=100')).data;
const answer = (threadTs: string, pattern: RegExp) =>
  eventually(
    async () => (await agentMessages(server, threadTs)).find((text) => pattern.test(text)),
    () => `an answer like ${pattern}:\n${server.output().slice(-3_000)}`,
  );

describe('Slack', () => {
  let thread: string;

  it('answers a mention from the sandbox, once, in its thread', async () => {
    const { agent } = await stateOf(server);
    thread = await postInSlack(server, `${agent.slackHandle} run \`echo sum-$((6*7)) $(id -u) $(pwd)\``);
    expect(await answer(thread, /sum-42/)).toContain('/workspace');
    const settled = await eventually(async () => {
      const all = await deliveries();
      return all.every((delivery) => delivery.outcome.kind !== 'pending') && all;
    }, 'all deliveries settled');
    expect(settled.filter((delivery) => delivery.outcome.kind === 'routed')).toHaveLength(1);
    for (const delivery of settled.filter((each) => each.outcome.kind === 'ignored')) {
      expect(delivery.outcome.message).toMatch(/\w+ .*\.$/);
    }
    expect(await agentMessages(server, thread)).toHaveLength(1);
  });

  it('goes on in the thread without another mention, and remembers', async () => {
    await postInSlack(server, 'What did I ask first?', thread);
    expect(await answer(thread, /first/i)).toContain('sum-');
    const { data } = await server.api<{ data: { id: string }[] }>('/v1/sessions');
    expect(data).toHaveLength(1);
  });

  it('shows that it works, and shows it no more when it is done', async () => {
    const { agent } = await stateOf(server);
    const ts = await postInSlack(server, `${agent.slackHandle} run \`sleep 2; echo awake\``);
    await eventually(async () => {
      const threads = (await stateOf(server)).slack.threads;
      return threads.find((each) => each.threadTs === ts)?.status;
    }, 'a status on the thread');
    await answer(ts, /awake/);
    await eventually(async () => {
      const threads = (await stateOf(server)).slack.threads;
      return !threads.find((each) => each.threadTs === ts)?.status;
    }, 'the status is gone');
  });

  it('ignores what is not addressed to it, and a guest, each with a reason', async () => {
    const { agent, people, slack } = await stateOf(server);
    const channel = slack.channels[0]?.id;
    await server.workplace('/slack/messages', { personId: people[0]?.id, channel, text: 'Lunch?' });
    const guest = people.find((person) => person.id === 'guest')?.id;
    const text = `${agent.slackHandle} run \`echo guest\``;
    const posted = await server.workplace<{ ts: string }>('/slack/messages', {
      personId: guest,
      channel,
      text,
    });
    const reasons = await eventually(async () => {
      const found = (await deliveries()).map((delivery) => delivery.outcome.reason);
      return found.includes('not_addressed') && found.includes('no_authority') && found;
    }, 'both reasons');
    expect(reasons).toContain('own_message');
    expect(await agentMessages(server, posted.ts)).toEqual([]);
  });

  it('keeps the log of it: events, actions, egress records', async () => {
    const sessions = await server.api<{ data: { id: string; title: string | null }[] }>('/v1/sessions');
    const session = sessions.data.at(-1);
    const events = await server.api<{ data: { type: string }[] }>(
      `/v1/sessions/${session?.id}/events?limit=100`,
    );
    expect(events.data.map((event) => event.type)).toEqual(
      expect.arrayContaining([
        'user.message',
        'session.status_running',
        'agent.tool_use',
        'agent.message',
        'session.status_idle',
      ]),
    );
    const actions = await server.api<{ data: { tool: string; decision: string; state: string }[] }>(
      `/v1/actions?session_id=${session?.id}`,
    );
    expect(actions.data).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ tool: 'reply', decision: 'allowed', state: 'sent' }),
      ]),
    );
    const egress = await server.api<{
      data: { host: string; decision: string; credential: string | null }[];
    }>(`/v1/egress_requests?session_id=${session?.id}`);
    expect(egress.data).toEqual(
      expect.arrayContaining([expect.objectContaining({ host: 'api.anthropic.com', decision: 'allowed' })]),
    );
  });
});
