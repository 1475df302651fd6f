import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { postInSlack, stateOf } from './workplace-state.ts';

/** The whole number of the design with `npm run test:full`; a sample that starts as many turns at once otherwise. */
const full = process.env.TAGALONG_TEST_FULL === '1';
const onOneThread = 200;
const threads = full ? 200 : 24;

vi.setConfig({ testTimeout: 600_000 });

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => cleanUp(server));

interface Delivery {
  outcome: { kind: string; reason?: string; session_id?: string };
}

async function allDeliveries(): Promise<Delivery[]> {
  const found: Delivery[] = [];
  let page: string | null = '';
  while (page !== null) {
    const answer: { data: Delivery[]; next_page: string | null } = await server.api(
      `/v1/deliveries?limit=100${page === '' ? '' : `&page=${encodeURIComponent(page)}`}`,
    );
    found.push(...answer.data);
    page = answer.next_page;
  }
  return found;
}

async function idle(): Promise<boolean> {
  const deliveries = await allDeliveries();
  if (deliveries.some((delivery) => delivery.outcome.kind === 'pending')) return false;
  const { data } = await server.api<{ data: { status: string }[] }>('/v1/sessions?limit=100');
  return data.every((session) => session.status === 'idle');
}

describe('many mentions at once', () => {
  it(`answers ${onOneThread} on one thread: each reaches the session once`, async () => {
    const { agent } = await stateOf(server);
    const root = await postInSlack(server, `${agent.slackHandle} run \`echo root\``);
    const words = Array.from({ length: onOneThread }, (_, n) => `word-${n}-end`);
    await Promise.all(
      words.map((word) => postInSlack(server, `${agent.slackHandle} run \`echo ${word}\``, root)),
    );
    await eventually(
      async () =>
        (await allDeliveries()).filter((each) => each.outcome.kind === 'routed').length > onOneThread,
      'all routed',
      240_000,
    );
    const replies = async () =>
      (await stateOf(server)).slack.threads
        .find((each) => each.threadTs === root)
        ?.messages.filter((each) => each.author.isBot) ?? [];
    await eventually(async () => (await replies()).length > 0, 'a reply', 240_000);
    await eventually(idle, 'the session is idle again', 240_000);
    const { data } = await server.api<{ data: { id: string }[] }>('/v1/sessions');
    expect(data).toHaveLength(1);
    const said: string[] = [];
    let page: string | null = '';
    while (page !== null) {
      const answer: { data: { content: { text: string }[] }[]; next_page: string | null } = await server.api(
        `/v1/sessions/${data[0]?.id}/events?types[]=user.message&limit=100${page === '' ? '' : `&page=${encodeURIComponent(page)}`}`,
      );
      said.push(...answer.data.flatMap((event) => event.content.map((part) => part.text)));
      page = answer.next_page;
    }
    for (const word of words)
      expect(
        said.filter((text) => text.includes(word)),
        word,
      ).toHaveLength(1);
    // Messages that come while a turn runs share the next one; nobody is answered twice.
    expect((await replies()).length).toBeLessThanOrEqual(onOneThread + 1);
  });

  it(`answers ${threads} on as many threads, each once`, async () => {
    const { agent } = await stateOf(server);
    const roots = await Promise.all(
      Array.from({ length: threads }, (_, n) =>
        postInSlack(server, `${agent.slackHandle} run \`echo answer-$((1000+${n}))\``),
      ),
    );
    const answers = async () => {
      const { slack } = await stateOf(server);
      return roots.map((root) =>
        (slack.threads.find((each) => each.threadTs === root)?.messages ?? []).filter(
          (each) => each.author.isBot,
        ),
      );
    };
    await eventually(
      async () => (await answers()).every((each) => each.length > 0),
      'an answer in each thread',
      480_000,
    );
    await eventually(idle, 'all sessions idle', 120_000);
    for (const [n, messages] of (await answers()).entries()) {
      expect(messages.map((message) => message.text)).toEqual([
        expect.stringContaining(`answer-${1000 + n}`),
      ]);
    }
  });
});
