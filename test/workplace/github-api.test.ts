import { App } from '@octokit/app';
import { Octokit } from '@octokit/core';
import { describe, expect, it } from 'vitest';
import type { Workplace } from '../../src/workplace/workplace.ts';
import { openWorkplace } from './support/open-workplace.ts';

const repository = { owner: 'acme', repo: 'widgets' };

function appOf(workplace: Workplace): App {
  const { app_id, private_key, webhook_secret } = workplace.credentials.github;
  return new App({
    appId: app_id,
    privateKey: private_key,
    webhooks: { secret: webhook_secret },
    Octokit: Octokit.defaults({ baseUrl: workplace.upstreams.githubApiUrl }),
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
}

function asPerson(workplace: Workplace, personId: string): Octokit {
  const { githubApiUrl: baseUrl } = workplace.upstreams;
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  return new Octokit({ baseUrl, auth: workplace.persons.githubToken(personId), log });
}

async function asInstallation(workplace: Workplace) {
  return await appOf(workplace).getInstallationOctokit(Number(workplace.credentials.github.installation_id));
}

describe('the emulated GitHub, driven by @octokit/app', () => {
  it('knows the app, its installation and its bot user', async () => {
    const { workplace } = await openWorkplace();
    const app = appOf(workplace);
    const installationId = Number(workplace.credentials.github.installation_id);
    const { data: self } = await app.octokit.request('GET /app');
    expect(self).toMatchObject({ id: Number(workplace.credentials.github.app_id), slug: 'tagalong' });
    const path = 'GET /app/installations/{installation_id}';
    const { data: installation } = await app.octokit.request(path, { installation_id: installationId });
    expect(installation).toMatchObject({
      id: installationId,
      account: { login: 'acme' },
      suspended_at: null,
    });
    const octokit = await asInstallation(workplace);
    const { data: bot } = await octokit.request('GET /users/{username}', { username: 'tagalong[bot]' });
    expect(bot).toMatchObject({ login: 'tagalong[bot]', type: 'Bot' });
    const names: string[] = [];
    await app.eachRepository(({ repository: found }) => void names.push(found.full_name));
    expect(names).toEqual(['acme/widgets']);
  });

  it('narrows a token to repositories, and refuses one that is forged, revoked or an hour old', async () => {
    const { workplace, clock } = await openWorkplace();
    const app = appOf(workplace);
    const mint = () =>
      app.octokit.request('POST /app/installations/{installation_id}/access_tokens', {
        installation_id: Number(workplace.credentials.github.installation_id),
        repositories: ['widgets'],
      });
    const { data: narrowed, status } = await mint();
    expect(status).toBe(201);
    expect(narrowed).toMatchObject({ repository_selection: 'selected', repositories: [{ name: 'widgets' }] });
    const get = async (token: string) => {
      const headers = { authorization: `token ${token}` };
      return (await fetch(`${workplace.upstreams.githubApiUrl}/repos/acme/widgets`, { headers })).status;
    };
    expect(await get(narrowed.token)).toBe(200);
    expect(await get('ghs_forged')).toBe(401);
    await clock.advance(3_600_000);
    expect(await get(narrowed.token)).toBe(401);
    const { data: second } = await mint();
    const revoked = await fetch(`${workplace.upstreams.githubApiUrl}/installation/token`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${second.token}` },
    });
    expect(revoked.status).toBe(204);
    expect(await get(second.token)).toBe(401);
  });

  it('comments as the bot, and says which app wrote it', async () => {
    const { workplace } = await openWorkplace();
    const { number } = await workplace.persons.openGithubIssue({ personId: 'maya', title: 'Broken' });
    const octokit = await asInstallation(workplace);
    const place = { ...repository, issue_number: number };
    const { data: made } = await octokit.request(
      'POST /repos/{owner}/{repo}/issues/{issue_number}/comments',
      {
        ...place,
        body: 'On it <!-- tagalong:out_1 -->',
      },
    );
    expect(made).toMatchObject({ user: { login: 'tagalong[bot]', type: 'Bot' } });
    const { data: comments } = await octokit.request(
      'GET /repos/{owner}/{repo}/issues/{issue_number}/comments',
      place,
    );
    expect(comments).toMatchObject([{ body: 'On it <!-- tagalong:out_1 -->' }]);
    expect(comments[0]?.performed_via_github_app).toMatchObject({
      id: Number(workplace.credentials.github.app_id),
      slug: 'tagalong',
    });
    expect(workplace.state().github.issues[0]?.comments).toMatchObject([
      { author: { name: 'tagalong[bot]', isBot: true }, body: 'On it' },
    ]);
  });

  it('adds a reaction once, lists it, counts it and takes it away', async () => {
    const { workplace } = await openWorkplace();
    const { number } = await workplace.persons.openGithubIssue({ personId: 'maya', title: 'Broken' });
    const { id } = await workplace.persons.commentGithubIssue({ personId: 'maya', number, body: 'please' });
    const octokit = await asInstallation(workplace);
    for (const path of [`issues/${number}`, `issues/comments/${id}`]) {
      const url = `/repos/acme/widgets/${path}/reactions`;
      const first = await octokit.request(`POST ${url}`, { content: 'eyes' });
      const again = await octokit.request(`POST ${url}`, { content: 'eyes' });
      expect([first.status, again.status]).toEqual([201, 200]);
      expect(again.data).toEqual(first.data);
      expect(first.data).toMatchObject({ content: 'eyes', user: { login: 'tagalong[bot]' } });
      await asPerson(workplace, 'jonas').request(`POST ${url}`, { content: 'rocket' });
      const { data: list } = await octokit.request(`GET ${url}`);
      expect(list.map((one: { content: string }) => one.content)).toEqual(['eyes', 'rocket']);
      const { data: subject } = await octokit.request(`GET /repos/acme/widgets/${path}`);
      expect(subject.reactions).toMatchObject({ eyes: 1, rocket: 1, total_count: 2 });
      const gone = await octokit.request(`DELETE ${url}/${first.data.id}`);
      expect(gone.status).toBe(204);
      await expect(octokit.request(`DELETE ${url}/${first.data.id}`)).rejects.toMatchObject({ status: 404 });
    }
    const wrong = octokit.request(`POST /repos/acme/widgets/issues/${number}/reactions`, {
      content: 'shrug',
    });
    await expect(wrong).rejects.toMatchObject({ status: 422 });
    const nowhere = octokit.request('POST /repos/acme/widgets/issues/99/reactions', { content: 'eyes' });
    await expect(nowhere).rejects.toMatchObject({ status: 404 });
    expect(workplace.state().github.issues[0]).toMatchObject({ reactions: [{ name: 'rocket', count: 1 }] });
  });

  it.each([
    ['maya', 'admin'],
    ['jonas', 'write'],
    ['gia', 'read'],
  ])('says that %s has %s', async (username, permission) => {
    const { workplace } = await openWorkplace();
    const octokit = await asInstallation(workplace);
    const path = 'GET /repos/{owner}/{repo}/collaborators/{username}/permission';
    const { data } = await octokit.request(path, { ...repository, username });
    expect(data).toMatchObject({ permission, role_name: permission, user: { login: username } });
    await expect(octokit.request(path, { ...repository, username: 'nobody' })).rejects.toMatchObject({
      status: 404,
    });
  });

  it("lets an outsider open issues and comment, but drops the outsider's labels and refuses the rest", async () => {
    const { workplace } = await openWorkplace();
    const gia = asPerson(workplace, 'guest');
    const issue = { ...repository, title: 'Hello', labels: ['tagalong'] };
    const { data: opened } = await gia.request('POST /repos/{owner}/{repo}/issues', issue);
    expect(opened.labels).toEqual([]);
    await gia.request(`POST /repos/acme/widgets/issues/${opened.number}/comments`, { body: 'hello?' });
    const label = gia.request(`POST /repos/acme/widgets/issues/${opened.number}/labels`, {
      labels: ['tagalong'],
    });
    await expect(label).rejects.toMatchObject({ status: 403 });
    const close = gia.request(`PATCH /repos/acme/widgets/issues/${opened.number}`, { state: 'closed' });
    await expect(close).rejects.toMatchObject({ status: 403 });
  });

  it('merges a pull request', async () => {
    const { workplace } = await openWorkplace();
    const octokit = await asInstallation(workplace);
    const { data: main } = await octokit.request('GET /repos/acme/widgets/git/ref/heads/main');
    const branch = 'tagalong/fix/1';
    await octokit.request('POST /repos/acme/widgets/git/refs', {
      ref: `refs/heads/${branch}`,
      sha: main.object.sha,
    });
    await octokit.request('PUT /repos/acme/widgets/contents/new.txt', {
      message: 'Add',
      branch,
      content: Buffer.from('new').toString('base64'),
    });
    const { data: pull } = await octokit.request('POST /repos/{owner}/{repo}/pulls', {
      ...repository,
      title: 'Fix',
      head: branch,
      base: 'main',
    });
    const { data: merged } = await octokit.request('PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge', {
      ...repository,
      pull_number: pull.number,
    });
    expect(merged).toMatchObject({ merged: true });
  });
});
