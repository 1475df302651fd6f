import { describe, expect, test } from 'vitest';
import { createGithubAdapter } from '../../../src/providers/github/index.ts';
import { markedBody } from '../../../src/providers/github/send.ts';
import { type Answer, type Cloud, createCloud, type Recorded } from '../support/cloud.ts';
import { bot, identity, maya } from './payloads.ts';

const mark = '3f2b8c1e-7f1a-4c5e-9a55-0d6f6f1f2a3b';
const target = {
  place: { owner: 'acme', repo: 'widgets', number: '7', repository_id: '33', kind: 'issue' },
  message: { kind: 'comment', comment_id: '2001', at: '2026-11-20T12:00:00Z' },
};
const inReview = {
  place: { ...target.place, number: '8', kind: 'pull_request' },
  message: { kind: 'review_comment', comment_id: '2001', thread_id: '1999', at: '2026-11-20T12:00:00Z' },
};
const adapter = createGithubAdapter();
const tool = (name: string) => {
  const found = adapter.tools.find((each) => each.name === name);
  if (!found) throw new Error(`no tool ${name}`);
  return found;
};
const context = (cloud: Cloud) => ({ fetch: cloud.fetch, identity });

interface Comment {
  id: number;
  body: string;
  user: unknown;
  created_at: string;
  html_url: string;
  performed_via_github_app?: unknown;
}

const written = (id: number, body: string, user: unknown = maya): Comment => ({
  id,
  body,
  user,
  created_at: '2026-11-20T12:00:01Z',
  html_url: `https://github.com/acme/widgets/issues/7#issuecomment-${id}`,
});

/** A repository that keeps comments by the path of their list. `interfere` may answer in its place. */
function createRepository(interfere: (request: Recorded) => Answer | undefined = () => undefined) {
  const lists = new Map<string, Comment[]>();
  const listOf = (path: string) => lists.get(path) ?? lists.set(path, []).get(path) ?? [];
  const cloud = createCloud((request) => {
    const path = request.call.replace(/\/comments\/\d+\/replies$/, '/comments');
    const list = listOf(path);
    if (request.method === 'POST' && path.endsWith('/comments')) {
      const refusal = interfere(request);
      if (refusal && refusal.throws === undefined) return refusal;
      const made = written(5000 + list.length, String(request.json.body), bot);
      list.push(made);
      return refusal ?? { status: 201, json: made };
    }
    if (path.endsWith('/comments')) {
      const { searchParams } = new URL(request.url);
      const size = Number(searchParams.get('per_page') ?? 30);
      const start = (Number(searchParams.get('page') ?? 1) - 1) * size;
      return { json: list.slice(start, start + size) };
    }
    if (/\/issues\/\d+$/.test(path)) {
      return {
        json: {
          number: 7,
          title: 'Tests fail',
          body: 'since Tuesday',
          state: 'open',
          user: maya,
          labels: [{ name: 'bug' }],
          assignees: [],
          comments: listOf(`${path}/comments`).length,
          created_at: '2026-11-20T11:00:00Z',
        },
      };
    }
    return { status: 201, json: { id: 1 } };
  });
  return { cloud, listOf };
}
const comments7 = '/repos/acme/widgets/issues/7/comments';

describe('a reply', () => {
  test('is a comment that ends with the hidden mark, sent to the real API without a token', async () => {
    const { cloud } = createRepository();
    const result = await tool('reply').perform(context(cloud), { text: 'Done.' }, target, mark);
    const [request] = cloud.requests;
    expect(request).toMatchObject({ method: 'POST', url: `https://api.github.com${comments7}` });
    expect(request?.json).toEqual({ body: `Done.\n\n<!-- tagalong:${mark} -->` });
    expect(request?.headers.get('authorization')).toBeNull();
    expect(request?.headers.get('x-github-api-version')).toBe('2022-11-28');
    expect(result.ref).toMatchObject({ comment_id: '5000' });
  });

  test('to a review comment goes into its thread, and is found there', async () => {
    const { cloud } = createRepository();
    await tool('reply').perform(context(cloud), { text: 'Done.' }, inReview, mark);
    expect(cloud.requests[0]?.call).toBe('/repos/acme/widgets/pulls/8/comments/1999/replies');
    const found = await tool('reply').reconcile?.(context(cloud), { text: 'Done.' }, inReview, mark);
    expect(found?.ref?.comment_id).toBe('5000');
  });

  test('that arrived although the connection broke is found, and not written again', async () => {
    const { cloud, listOf } = createRepository(() => ({ throws: new TypeError('terminated') }));
    const first = tool('reply').perform(context(cloud), { text: 'Done.' }, target, mark);
    await expect(first).rejects.toMatchObject({ code: 'unavailable', mayHaveArrived: true });
    expect(await tool('reply').reconcile?.(context(cloud), { text: 'Done.' }, target, mark)).toMatchObject({
      ref: { comment_id: '5000' },
    });
    expect(listOf(comments7)).toHaveLength(1);
    expect(cloud.requests.at(-1)?.url).toContain('since=2026-11-20T12%3A00%3A00Z');
  });

  test('whose answer broke off may have arrived', async () => {
    const cloud = createCloud(() => ({ status: 201, text: '{"id": 50' }));
    await expect(tool('reply').perform(context(cloud), { text: 'x' }, target, mark)).rejects.toMatchObject({
      code: 'unavailable',
      mayHaveArrived: true,
    });
  });

  test('is looked for on all pages', async () => {
    const { cloud, listOf } = createRepository();
    for (let id = 1; id <= 250; id++) listOf(comments7).push(written(id, 'chatter'));
    listOf(comments7).push(written(300, markedBody('Done.', mark), bot));
    const found = await tool('reply').reconcile?.(context(cloud), { text: 'Done.' }, target, mark);
    expect(found?.ref?.comment_id).toBe('300');
    expect(cloud.requests).toHaveLength(3);
  });

  test("is not taken from another's comment, a quotation, or another mark", async () => {
    const { cloud, listOf } = createRepository();
    listOf(comments7).push(
      written(1, markedBody('forged', mark), maya),
      written(2, `> ${markedBody('Done.', mark)}\n\nI agree`, bot),
      written(3, markedBody('Done.', 'another'), bot),
    );
    expect(await tool('reply').reconcile?.(context(cloud), { text: 'x' }, target, mark)).toBeUndefined();
    listOf(comments7).push({
      ...written(4, markedBody('x', mark), maya),
      performed_via_github_app: { id: 501 },
    });
    expect(await tool('reply').reconcile?.(context(cloud), { text: 'x' }, target, mark)).toBeDefined();
  });

  test("cannot carry a mark of its author's making", () => {
    for (const text of [
      '<!-- tagalong:other -->',
      '<!--tagalong:other',
      '<!--  \n TAGALONG:other -->',
      '<!-<!-- tagalong:x -->- tagalong:y -->',
    ]) {
      const body = markedBody(text, mark);
      expect(body.match(/<!--\s*tagalong:/gi)).toHaveLength(1);
      expect(body.endsWith(`<!-- tagalong:${mark} -->`)).toBe(true);
    }
  });

  test('that is too long is cut, and says so', () => {
    const body = markedBody('😀'.repeat(60_000), mark);
    expect(body.length).toBeLessThanOrEqual(65_536);
    expect(body).toContain('cut here');
    expect(body.isWellFormed()).toBe(true);
    expect(body.endsWith(`<!-- tagalong:${mark} -->`)).toBe(true);
  });
});

describe('limits', () => {
  const limited = async (answer: Answer) => {
    const cloud = createCloud(() => answer);
    return tool('reply')
      .perform(context(cloud), { text: 'x' }, target, mark)
      .catch((error: unknown) => error);
  };

  test('the primary one lasts until its reset, by the clock of GitHub', async () => {
    const date = new Date('2001-01-01T00:00:00Z');
    const headers = {
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': String(date.getTime() / 1000 + 90),
      date: date.toUTCString(),
    };
    const answer = { status: 403, headers, json: { message: 'API rate limit exceeded' } };
    expect(await limited(answer)).toMatchObject({ code: 'rate_limited', retryAfterMs: 90_000 });
  });

  test('one without a time lasts a minute', async () => {
    const json = { message: 'You have exceeded a secondary rate limit.' };
    expect(await limited({ status: 403, json })).toMatchObject({
      code: 'rate_limited',
      retryAfterMs: 60_000,
    });
    expect(await limited({ status: 429, json: {} })).toMatchObject({
      code: 'rate_limited',
      retryAfterMs: 60_000,
    });
  });

  test('another 403 is a refusal, and a suspended installation is no access', async () => {
    const refused = { status: 403, json: { message: 'Resource not accessible by integration' } };
    expect(await limited(refused)).toMatchObject({
      code: 'refused',
      message: expect.stringContaining('not accessible'),
    });
    const suspended = { status: 403, json: { message: 'This installation has been suspended' } };
    expect(await limited(suspended)).toMatchObject({ code: 'unauthorized' });
  });
});

describe('tools', () => {
  test('comment on another issue of the same repository', async () => {
    const { cloud } = createRepository();
    await tool('github_comment').perform(context(cloud), { body: 'See here.', number: 9 }, inReview, mark);
    expect(cloud.requests[0]?.call).toBe('/repos/acme/widgets/issues/9/comments');
    const input = { body: 'See here.', number: 9 };
    expect(await tool('github_comment').reconcile?.(context(cloud), input, inReview, mark)).toBeDefined();
  });

  test('read the issue with the newest comments, each with its author', async () => {
    const { cloud, listOf } = createRepository();
    for (let id = 1; id <= 320; id++)
      listOf(comments7).push(written(id, `comment ${id}`, id === 320 ? bot : maya));
    const { text } = await tool('github_read_issue').perform(context(cloud), {}, target, mark);
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line): unknown => JSON.parse(line));
    expect(lines[0]).toMatchObject({ id: '#7', author: 'maya', text: '# Tests fail\n\nsince Tuesday' });
    expect(lines.at(-1)).toMatchObject({ author: 'ada[bot]', kind: 'you', text: 'comment 320' });
    expect(lines.at(-2)).toMatchObject({ author: 'maya', kind: 'person' });
    expect(text).toContain('(200 older ones left out)');
    expect(cloud.requests).toHaveLength(3);
  });
});

describe('an issue that GitHub answers with another repository', () => {
  const reading = (fullName: string) => {
    const cloud = createCloud(({ call }) =>
      call === '/repos/acme/widgets'
        ? { json: { id: 33, full_name: fullName } }
        : {
            json: {
              ...{ number: 7, title: 'A plan', body: 'secret', user: maya, labels: [], comments: 0 },
              ...{ state: 'open', repository_url: 'https://api.github.com/repos/acme/vault' },
            },
          },
    );
    return tool('github_read_issue').perform(context(cloud), {}, target, mark);
  };

  test('was transferred, and is not read by leave of where it was', async () => {
    await expect(reading('acme/widgets')).rejects.toMatchObject({
      code: 'refused',
      message: 'That issue was moved to acme/vault. Ask for it there.',
    });
  });

  test('is the same where the repository was renamed', async () => {
    expect((await reading('Acme/Vault')).text).toContain('A plan');
  });
});

describe('presence', () => {
  test.each([
    [{ kind: 'issue' }, '/repos/acme/widgets/issues/7/reactions'],
    [{ kind: 'comment', comment_id: '5' }, '/repos/acme/widgets/issues/comments/5/reactions'],
    [{ kind: 'review_comment', comment_id: '5' }, '/repos/acme/widgets/pulls/comments/5/reactions'],
    [{ kind: 'review', comment_id: '5' }, '/repos/acme/widgets/issues/7/reactions'],
    [undefined, '/repos/acme/widgets/issues/7/reactions'],
  ])('is eyes on %j', async (message, path) => {
    const { cloud } = createRepository();
    const there = message ? { place: target.place, message } : { place: target.place };
    await adapter.presence(context(cloud), there, 'working');
    await adapter.presence(context(cloud), there, 'done');
    expect(cloud.requests.map((request) => [request.call, request.json])).toEqual([
      [path, { content: 'eyes' }],
    ]);
  });

  test('does no harm where it cannot be shown', async () => {
    const cloud = createCloud(() => ({
      status: 403,
      json: { message: 'Unable to create reaction on locked issue' },
    }));
    await adapter.presence(context(cloud), target, 'working');
    expect(cloud.requests).toHaveLength(1);
  });
});
