import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from '@octokit/app';
import { Octokit } from '@octokit/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createGithubAdapter } from '../../src/providers/github/index.ts';
import { adapters } from '../../src/providers/index.ts';
import { createLinearAdapter } from '../../src/providers/linear/index.ts';
import type {
  ProviderAdapter,
  ProviderContext,
  Signal,
  ToolTarget,
  Writer,
} from '../../src/providers/provider.ts';
import { createSlackAdapter } from '../../src/providers/slack/index.ts';
import type { ProviderName } from '../../src/store/schema.ts';
import { startWorkplace, type Workplace } from '../../src/workplace/workplace.ts';

/** Each adapter against the emulated vendors: what they send is understood, and what is sent is taken. */

type Addressed = Extract<Signal, { kind: 'addressed' | 'ambient' }>;

const folder = mkdtempSync(join(tmpdir(), 'tagalong-workplace-'));
const mark = (index: number) => `3f2b8c1e-7f1a-4c5e-9a55-${String(index).padStart(12, '0')}`;
let workplace: Workplace;
let server: Server;
const arrived: { provider: ProviderName; headers: Record<string, string>; body: Buffer }[] = [];
const waiting = new Set<() => void>();

beforeAll(async () => {
  workplace = await startWorkplace({ folder, agentName: 'Ada', offlineModel: false });
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const provider = (request.url ?? '').slice(1) as ProviderName;
    arrived.push({
      provider,
      headers: request.headers as Record<string, string>,
      body: Buffer.concat(chunks),
    });
    response.end();
    for (const wake of waiting) wake();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  workplace.setWebhookUrls({
    slack: `${origin}/slack`,
    github: `${origin}/github`,
    linear: `${origin}/linear`,
  });
});

afterAll(async () => {
  server.close();
  await workplace.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What the egress process does for the worker: the vendor's host becomes the workplace, and a token is put on. */
function send(provider: ProviderName): typeof fetch {
  const { upstreams, credentials } = workplace;
  const { github } = credentials;
  const app = new App({
    appId: github.app_id,
    privateKey: github.private_key,
    Octokit: Octokit.defaults({ baseUrl: upstreams.githubApiUrl }),
  });
  const tokens: Record<ProviderName, (path: string) => Promise<string>> = {
    slack: async () => credentials.slack.bot_token,
    linear: async () => credentials.linear.access_token,
    github: async (path) => {
      const wanted = /^\/app(\/|$)/.test(path)
        ? { type: 'app' }
        : { type: 'installation', installationId: Number(github.installation_id) };
      return ((await app.octokit.auth(wanted)) as { token: string }).token;
    },
  };
  const origins = {
    slack: ['https://slack.com/api/', upstreams.slackApiUrl],
    github: ['https://api.github.com', upstreams.githubApiUrl],
    linear: ['https://api.linear.app/graphql', upstreams.linearApiUrl],
  };
  return async (input, init) => {
    const [from = '', to = ''] = origins[provider];
    const url = String(input);
    expect(url.startsWith(from)).toBe(true);
    const headers = new Headers(init?.headers);
    headers.set('authorization', `Bearer ${await tokens[provider](new URL(url).pathname)}`);
    return fetch(to + url.slice(from.length), { ...init, headers });
  };
}

async function contextOf(adapter: ProviderAdapter): Promise<ProviderContext> {
  const split = adapter.splitCredentials(workplace.credentials[adapter.name]);
  const context = { fetch: send(adapter.name) };
  return { ...context, identity: await adapter.whoAmI(context, split.credential.detail) };
}

/** Waits for a delivery whose signal fits; every delivery on the way must be verified. */
async function signalFrom(
  adapter: ProviderAdapter,
  context: ProviderContext,
  fits: (signal: Signal) => boolean,
): Promise<Signal> {
  const secret = adapter.splitCredentials(workplace.credentials[adapter.name]).webhookSecret;
  for (;;) {
    for (const delivery of arrived.splice(0)) {
      if (delivery.provider !== adapter.name) continue;
      expect(adapter.webhook.verify(delivery, [secret], new Date())).toEqual({ ok: true });
      const found = adapter.signals({ ...delivery, receivedAt: new Date() }, context.identity).find(fits);
      if (found) return found;
    }
    await new Promise<void>((resolve) => {
      const wake = () => {
        waiting.delete(wake);
        resolve();
      };
      waiting.add(wake);
    });
  }
}

const isAddressed = (signal: Signal): signal is Addressed => signal.kind === 'addressed';

async function answer(
  adapter: ProviderAdapter,
  context: ProviderContext,
  signal: Signal,
): Promise<ToolTarget> {
  if (!isAddressed(signal)) throw new Error('not addressed');
  expect(await adapter.mayAddress(context, signal)).toEqual({ allowed: true });
  const target: ToolTarget = { place: signal.anchor.place, message: signal.place };
  await adapter.presence(context, target, 'working');
  const reply = adapter.tools.find((tool) => tool.name === 'reply');
  const input = { text: 'It is **done**.' };
  expect(await reply?.reconcile?.(context, input, target, mark(1))).toBeUndefined();
  const sent = await reply?.perform(context, input, target, mark(1));
  expect(sent?.ref).toBeDefined();
  expect((await reply?.reconcile?.(context, input, target, mark(1)))?.ref).toEqual(sent?.ref);
  await adapter.presence(context, target, 'done');
  return target;
}

test('Slack: a mention is answered in its thread', async () => {
  const adapter = adapters.slack;
  const context = await contextOf(adapter);
  expect(context.identity).toMatchObject({
    appId: expect.stringMatching(/^A/),
    handle: expect.stringMatching(/ada/i),
  });
  await workplace.persons.postSlackMessage({
    personId: 'maya',
    channel: 'general',
    text: '@ada run the tests',
  });
  const signal = await signalFrom(adapter, context, isAddressed);
  expect(signal).toMatchObject({ body: 'run the tests' });
  const target = await answer(adapter, context, signal);
  const own = await signalFrom(adapter, context, ({ kind }) => kind === 'ignored');
  expect(own).toMatchObject({ reason: 'own_message' });
  const read = adapter.tools.find((tool) => tool.name === 'slack_read_thread');
  const { text } = (await read?.perform(context, {}, target, mark(2))) ?? { text: '' };
  expect(text).toContain('"kind":"you"');
  expect(text).toMatch(/Maya|maya/);
});

test('Slack: a guest is not allowed', async () => {
  const adapter = adapters.slack;
  const context = await contextOf(adapter);
  await workplace.persons.postSlackMessage({ personId: 'guest', channel: 'general', text: '@ada hello' });
  const signal = await signalFrom(adapter, context, isAddressed);
  if (isAddressed(signal))
    expect(await adapter.mayAddress(context, signal)).toMatchObject({ allowed: false });
});

test('GitHub: a labelled issue is answered in a comment', async () => {
  const adapter = adapters.github;
  const context = await contextOf(adapter);
  expect(context.identity).toMatchObject({ handle: 'ada', userId: expect.stringMatching(/^\d+$/) });
  const given = { personId: 'maya', title: 'Tests fail', body: 'since Tuesday', labels: ['agent'] };
  await workplace.persons.openGithubIssue(given);
  const signal = await signalFrom(adapter, context, isAddressed);
  expect(signal).toMatchObject({ body: '# Tests fail\n\nsince Tuesday' });
  const target = await answer(adapter, context, signal);
  expect(await signalFrom(adapter, context, ({ kind }) => kind === 'ignored')).toMatchObject({
    kind: 'ignored',
  });
  const read = adapter.tools.find((tool) => tool.name === 'github_read_issue');
  const { text } = (await read?.perform(context, {}, target, mark(2))) ?? { text: '' };
  expect(text).toContain('since Tuesday');
  expect(text).toContain('It is **done**.');
  expect(text).toContain('"kind":"you"');
});

test('GitHub: an outsider is not allowed', async () => {
  const adapter = adapters.github;
  const context = await contextOf(adapter);
  await workplace.persons.openGithubIssue({ personId: 'guest', title: 'Hello', body: '@ada please' });
  const signal = await signalFrom(adapter, context, isAddressed);
  if (isAddressed(signal))
    expect(await adapter.mayAddress(context, signal)).toMatchObject({ allowed: false });
});

test('Linear: a delegated issue is answered in its agent session', async () => {
  const adapter = adapters.linear;
  const context = await contextOf(adapter);
  expect(context.identity).toMatchObject({ handle: expect.stringMatching(/ada/i) });
  workplace.persons.createLinearIssue({
    personId: 'maya',
    title: 'Tests fail',
    description: 'since Tuesday',
    delegate: true,
  });
  const signal = await signalFrom(adapter, context, isAddressed);
  expect(signal).toMatchObject({ body: expect.stringMatching(/Tests fail\n\nsince Tuesday/) });
  const target = await answer(adapter, context, signal);
  const comment = adapter.tools.find((tool) => tool.name === 'linear_comment');
  const input = { body: 'See the pull request.' };
  const sent = await comment?.perform(context, input, target, mark(3));
  expect(await comment?.perform(context, input, target, mark(3))).toEqual(sent);
  expect(await comment?.reconcile?.(context, input, target, mark(3))).toEqual(sent);
  const read = adapter.tools.find((tool) => tool.name === 'linear_read_issue');
  const { text } = (await read?.perform(context, {}, target, mark(2))) ?? { text: '' };
  expect(text).toContain('since Tuesday');
  expect(text).toContain('See the pull request.');
  expect(text).toContain('"kind":"you"');
});

/** Asks, closes the question, and looks at what the vendor then holds. */
async function askAndClose(
  provider: ProviderName,
  signal: Signal,
  context: ProviderContext,
): Promise<ToolTarget> {
  if (!isAddressed(signal)) throw new Error('not addressed');
  const adapter = adapters[provider];
  const tool = (name: string) => adapter.tools.find((each) => each.name === name) ?? expect.fail(name);
  const target: ToolTarget = {
    place: signal.anchor.place,
    message: signal.place,
    hops: 2,
    askerId: signal.author.id,
  };
  const approval_id = 'apr_000000000000000000000000';
  const question = { approval_id, title: 'Post', shown: 'text: Hello.', rules: 'One must approve.' };
  const ask = tool('ask_approval');
  expect(await ask.reconcile?.(context, question, target, mark(20))).toBeUndefined();
  const asked = await ask.perform(context, question, target, mark(20));
  expect((await ask.reconcile?.(context, question, target, mark(20)))?.ref).toEqual(asked.ref);
  const outcome = { approval_id, title: 'Post', outcome: 'Approved by Maya.', prompt_mark: mark(20) };
  const close = tool('close_approval');
  const closed = await close.perform(context, outcome, target, mark(21));
  expect(await close.perform(context, outcome, target, mark(21))).toEqual(closed);
  const gone = await close.perform(context, { ...outcome, prompt_mark: mark(99) }, target, mark(22));
  expect(gone.text).toMatch(/not there any more|Said/);
  return target;
}

test('Slack: a question becomes its outcome; a post elsewhere is made once', async () => {
  const adapter = adapters.slack;
  const context = await contextOf(adapter);
  await workplace.persons.postSlackMessage({
    personId: 'maya',
    channel: 'general',
    text: '@ada ask somebody',
  });
  const signal = await signalFrom(adapter, context, isAddressed);
  const target = await askAndClose('slack', signal, context);
  const threads = workplace.state().slack.threads.flatMap(({ messages }) => messages);
  expect(threads.filter(({ text }) => text.includes('Approved by Maya'))).toMatchObject([
    { text: expect.stringContaining('Post') },
  ]);
  expect(threads.some(({ buttons }) => buttons)).toBe(false);

  const post = adapter.tools.find(({ name }) => name === 'slack_post_message') ?? expect.fail('no tool');
  const channel =
    workplace.slack.tables.channels().find(({ name }) => name === 'support') ?? expect.fail('no channel');
  const input = { channel: channel.channel_id, text: 'Hello, *support*.' };
  expect(await post.reconcile?.(context, input, target, mark(30))).toBeUndefined();
  const sent = await post.perform(context, input, target, mark(30));
  expect(await post.reconcile?.(context, input, target, mark(30))).toEqual(sent);
});

test('Slack: who sees a channel, and who of the people does', async () => {
  let nowMs = 0;
  const adapter = createSlackAdapter(() => nowMs);
  const context = await contextOf(adapter);
  const { tables } = workplace.slack;
  const row = tables.channels().find(({ name }) => name === 'support') ?? expect.fail('no channel');
  const place = { channel: row.channel_id };
  const person = (name: string): Writer => {
    const user = tables.users().find((each) => each.name === name) ?? expect.fail(name);
    return { author: { id: user.user_id, name, kind: 'person' } };
  };
  const change = (fields: Record<string, unknown>) => {
    tables.rows('channels').update(row.id, fields);
    nowMs += 60_001;
  };
  const membersWithout = (name: string) => row.members.filter((id) => id !== person(name).author.id);
  expect(await adapter.audience(context, place)).toBe('workspace');
  expect(await adapter.canSee(context, person('maya'), place)).toBe(true);
  change({ members: membersWithout('maya').filter((id) => id !== person('gia').author.id) });
  expect(await adapter.canSee(context, person('maya'), place)).toBe(true);
  // A guest sees only what they are in.
  expect(await adapter.canSee(context, person('gia'), place)).toBe(false);
  change({ is_private: true });
  expect(await adapter.audience(context, place)).toBe('private');
  expect(await adapter.canSee(context, person('maya'), place)).toBe(false);
  expect(await adapter.canSee(context, person('jonas'), place)).toBe(true);
  const bot: Writer = { author: { id: 'B1', kind: 'bot' } };
  expect(await adapter.canSee(context, bot, place)).toBe(false);
  change({ is_private: false, members: row.members });
});

test('GitHub: who sees a repository, who is in a team, and who wrote a pull request', async () => {
  let nowMs = 0;
  const adapter = createGithubAdapter(() => nowMs);
  const context = await contextOf(adapter);
  const { tables, app } = workplace.github;
  const row = tables.repository('acme/widgets') ?? expect.fail('no repository');
  const place = { owner: 'acme', repo: 'widgets' };
  const person = (login: string): Writer => {
    const user = tables.userByLogin(login) ?? expect.fail(login);
    return { author: { id: String(user.id), name: login, kind: 'person' }, authorHint: { login } };
  };
  expect(await adapter.audience(context, place)).toBe('public');
  expect(await adapter.canSee(context, person('cleo'), place)).toBe(true);
  tables.rows('repos').update(row.id, { private: true, visibility: 'private' });
  expect(await adapter.audience(context, place)).toBe('public');
  nowMs = 60_001;
  expect(await adapter.audience(context, place)).toBe('private');
  expect(await adapter.canSee(context, person('cleo'), place)).toBe(false);
  expect(await adapter.canSee(context, person('jonas'), place)).toBe(true);
  const renamed = { ...person('jonas'), author: { id: '999999', kind: 'person' as const } };
  expect(await adapter.canSee(context, renamed, place)).toBe(false);
  tables.rows('repos').update(row.id, { private: false, visibility: 'public' });

  const asMaya = (method: string, path: string, body: unknown = {}) =>
    app.request(`http://127.0.0.1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${workplace.persons.githubToken('maya')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    });
  expect((await asMaya('POST', '/orgs/acme/teams', { name: 'Reviewers' })).status).toBe(201);
  expect((await asMaya('PUT', '/orgs/acme/teams/reviewers/memberships/jonas')).status).toBe(200);
  const inTeam = (login: string, team = 'acme/reviewers') => adapter.isInTeam?.(context, person(login), team);
  expect(await inTeam('jonas')).toBe(true);
  expect(await inTeam('cleo')).toBe(false);
  expect(await inTeam('jonas', 'acme/nobody')).toBe(false);
  expect(await inTeam('jonas', 'reviewers')).toBe(false);
  await asMaya('DELETE', '/orgs/acme/teams/reviewers/memberships/jonas');
  expect(await inTeam('jonas')).toBe(true);
  expect(await adapter.isInTeam?.(context, person('jonas'), 'acme/reviewers', { fresh: true })).toBe(false);
});

test('Linear: who sees an issue, and who wrote it', async () => {
  let nowMs = 0;
  const adapter = createLinearAdapter(() => nowMs);
  const context = await contextOf(adapter);
  const { desk } = workplace.linear;
  const { records } = desk;
  const person = (id: string): Writer => {
    const user = records.users.find(({ personId }) => personId === id) ?? expect.fail(id);
    return { author: { id: user.id, name: user.name, kind: 'person' } };
  };
  const made = workplace.persons.createLinearIssue({ personId: 'guest', title: 'By a guest' });
  const place = { agent_session_id: 'x', issue_id: made.id };
  expect(await adapter.audience(context, place)).toBe('workspace');
  expect(await adapter.audience(context, { agent_session_id: 'x' })).toBe('workspace');
  expect(await adapter.canSee(context, person('maya'), place)).toBe(true);
  records.team.private = true;
  nowMs = 60_001;
  expect(await adapter.audience(context, place)).toBe('private');
  expect(await adapter.canSee(context, person('jonas'), place)).toBe(true);
  const stranger: Writer = { author: { id: '99999999-9999-4999-8999-999999999999', kind: 'person' } };
  expect(await adapter.canSee(context, stranger, place)).toBe(false);
  records.team.private = false;
  const writer = await adapter.writerOf?.(context, { key: 'k', place });
  expect(writer).toMatchObject({ author: { id: person('guest').author.id, kind: 'person' } });
  expect(await adapter.writerOf?.(context, { key: 'k', place: { agent_session_id: 'x' } })).toBeUndefined();
});

test('Slack: a word that one person sees', async () => {
  const adapter = adapters.slack;
  const context = await contextOf(adapter);
  await workplace.persons.postSlackMessage({
    personId: 'guest',
    channel: 'general',
    text: '@ada hello again',
  });
  const signal = await signalFrom(adapter, context, isAddressed);
  if (!isAddressed(signal)) throw new Error('not addressed');
  await adapter.whisper?.(context, signal.anchor.place, signal.author.id, 'Not for you.');
  expect(JSON.stringify(workplace.state())).not.toContain('Not for you.');
});

test('GitHub: a question becomes its outcome, and an issue is opened once', async () => {
  const adapter = adapters.github;
  const context = await contextOf(adapter);
  await workplace.persons.openGithubIssue({ personId: 'maya', title: 'Ask somebody', body: '@ada please' });
  const signal = await signalFrom(adapter, context, isAddressed);
  const target = await askAndClose('github', signal, context);
  const issue = workplace.state().github.issues.find(({ title }) => title === 'Ask somebody');
  expect(issue?.comments.filter(({ body }) => body.includes('Approved by Maya'))).toHaveLength(1);
  const create = adapter.tools.find(({ name }) => name === 'github_create_issue') ?? expect.fail('no tool');
  const input = { title: 'The rest', body: 'See above.' };
  expect(await create.reconcile?.(context, input, target, mark(30))).toBeUndefined();
  const made = await create.perform(context, input, target, mark(30));
  expect(await create.reconcile?.(context, input, target, mark(30))).toEqual(made);
});

test('Linear: a question is answered by its outcome, and an issue is created once', async () => {
  const adapter = adapters.linear;
  const context = await contextOf(adapter);
  workplace.persons.createLinearIssue({ personId: 'maya', title: 'Ask somebody', delegate: true });
  const signal = await signalFrom(adapter, context, isAddressed);
  const target = await askAndClose('linear', signal, context);
  const create = adapter.tools.find(({ name }) => name === 'linear_create_issue') ?? expect.fail('no tool');
  const input = { title: 'The rest', description: 'See above.' };
  expect(await create.reconcile?.(context, input, target, mark(30))).toBeUndefined();
  const made = await create.perform(context, input, target, mark(30));
  expect(made.text).toMatch(/^Created ENG-\d+/);
  expect(await create.perform(context, input, target, mark(30))).toEqual(made);
  expect(workplace.state().linear.issues.filter(({ title }) => title === 'The rest')).toHaveLength(1);
});

test('each: another issue or thread is read, with those who wrote it', async () => {
  const tool = (provider: ProviderName, name: string) =>
    adapters[provider].tools.find((each) => each.name === name) ?? expect.fail(name);

  const slack = await contextOf(adapters.slack);
  const posted = await workplace.persons.postSlackMessage({
    personId: 'guest',
    channel: 'support',
    text: 'The printer is on fire.',
  });
  const general = { place: { channel: 'C0GENERAL', thread_ts: '1.1' } };
  const thread = await tool('slack', 'slack_read_thread').perform(
    slack,
    { channel: posted.channel, thread: posted.ts },
    general,
    '',
  );
  expect(thread.text).toContain('The printer is on fire.');
  expect(thread.writers).toMatchObject([{ author: { name: expect.stringMatching(/gia/i), kind: 'person' } }]);
  await expect(
    tool('slack', 'slack_read_thread').perform(slack, { channel: posted.channel }, general, ''),
  ).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('which `thread`') });

  const github = await contextOf(adapters.github);
  const { number } = await workplace.persons.openGithubIssue({ personId: 'cleo', title: 'From outside' });
  const read = tool('github', 'github_read_issue');
  const elsewhere = { place: { owner: 'acme', repo: 'gadgets', number: '1' } };
  const issue = await read.perform(github, { repository: 'acme/widgets', number }, elsewhere, '');
  expect(issue.text).toContain('From outside');
  expect(issue.writers).toMatchObject([{ author: { name: 'cleo' }, authorHint: { login: 'cleo' } }]);
  await expect(read.perform(github, { repository: 'acme/widgets' }, elsewhere, '')).rejects.toMatchObject({
    message: expect.stringContaining('which `number`'),
  });

  const linear = await contextOf(adapters.linear);
  const { records } = workplace.linear.desk;
  const made = workplace.persons.createLinearIssue({ personId: 'guest', title: 'A guest writes' });
  const own = { place: { agent_session_id: 'x', issue_id: 'x', identifier: `${records.team.key}-999` } };
  const readLinear = tool('linear', 'linear_read_issue');
  const found = await readLinear.perform(linear, { issue: made.identifier.toLowerCase() }, own, '');
  expect(found.text).toContain('A guest writes');
  expect(found.writers).toMatchObject([{ author: { kind: 'person' } }]);
});
