import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { type GithubIssue, stateOf } from './workplace-state.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => cleanUp(server));

const issueOf = async (number: number): Promise<GithubIssue | undefined> =>
  (await stateOf(server)).github.issues.find((issue) => issue.number === number);
const answer = (number: number, pattern: RegExp) =>
  eventually(
    async () =>
      (await issueOf(number))?.comments.find((comment) => comment.author.isBot && pattern.test(comment.body)),
    () => `a comment like ${pattern}:\n${server.output().slice(-3_000)}`,
  );

describe('GitHub', () => {
  let number: number;
  const repository = { owner: 'acme', repo: 'widgets' };

  it('answers an issue that gets its label, once, and shows that it saw it', async () => {
    const { agent, people } = await stateOf(server);
    const personId = people[0]?.id;
    const opened = await server.workplace<{ number: number }>('/github/issues', {
      personId,
      ...repository,
      title: 'Which kernel?',
      body: 'Please run `uname -s` and tell us.',
    });
    number = opened.number;
    await server.workplace(`/github/issues/${number}/labels`, {
      personId,
      ...repository,
      labels: [agent.label],
    });
    expect((await answer(number, /Linux/)).body).not.toContain('<!--\n');
    await eventually(
      async () => (await issueOf(number))?.reactions.some((each) => each.name === 'eyes'),
      'eyes',
    );
    expect((await issueOf(number))?.comments.filter((comment) => comment.author.isBot)).toHaveLength(1);
  });

  it('answers a comment that mentions it, with the memory of the issue', async () => {
    const { agent, people } = await stateOf(server);
    await server.workplace(`/github/issues/${number}/comments`, {
      personId: people[0]?.id,
      ...repository,
      body: `${agent.githubHandle} what did I ask first?`,
    });
    expect((await answer(number, /first/i)).body).toContain('uname');
  });

  it('leaves alone what people say to each other, and who may not write there', async () => {
    const { agent, people } = await stateOf(server);
    await server.workplace(`/github/issues/${number}/comments`, {
      personId: people[1]?.id,
      ...repository,
      body: 'Nice.',
    });
    await server.workplace(`/github/issues/${number}/comments`, {
      personId: 'guest',
      ...repository,
      body: `${agent.githubHandle} run \`echo stranger\``,
    });
    await eventually(async () => {
      const { data } = await server.api<{ data: { outcome: { reason?: string } }[] }>(
        '/v1/deliveries?limit=100',
      );
      const reasons = data.map((delivery) => delivery.outcome.reason);
      return reasons.includes('not_addressed') && reasons.includes('no_authority');
    }, 'both reasons');
    expect((await issueOf(number))?.comments.filter((comment) => comment.author.isBot)).toHaveLength(2);
  });

  it('cannot be talked into a merge by the back door', async () => {
    const { agent, people } = await stateOf(server);
    const curl =
      "curl -sS -X PUT https://api.github.com/repos/acme/widgets/pulls/1/merge -w ' status=%{http_code}'";
    await server.workplace(`/github/issues/${number}/comments`, {
      personId: people[0]?.id,
      ...repository,
      body: `${agent.githubHandle} run \`${curl}\``,
    });
    const { body } = await answer(number, /status=403/);
    expect(body).toContain('github:pr.merge');
  });

  it('reads the issue by curl with a credential that it never sees', async () => {
    const { agent, people } = await stateOf(server);
    const curl = `curl -sS https://api.github.com/repos/acme/widgets/issues/${number} -H 'authorization: token mine' -w ' status=%{http_code}' | tail -c 60`;
    await server.workplace(`/github/issues/${number}/comments`, {
      personId: people[0]?.id,
      ...repository,
      body: `${agent.githubHandle} run \`${curl}\``,
    });
    await answer(number, /status=200/);
    await eventually(async () => {
      const { data } = await server.api<{
        data: { host: string; path: string; session_id: string | null; credential: string | null }[];
      }>('/v1/egress_requests?limit=100');
      const read = data.find((row) => row.session_id !== null && row.path.endsWith(`/issues/${number}`));
      return read?.host === 'api.github.com' && read.credential !== null;
    }, 'the record of a read with a credential');
  });
});
