import { App } from '@octokit/app';
import { Octokit } from '@octokit/core';
import { describe, expect, it } from 'vitest';
import type { Workplace } from '../../src/workplace/workplace.ts';
import { settled } from './support/manual-clock.ts';
import { openWorkplace } from './support/open-workplace.ts';

function appOf(workplace: Workplace): App {
  const { app_id, private_key, webhook_secret } = workplace.credentials.github;
  return new App({
    appId: app_id,
    privateKey: private_key,
    webhooks: { secret: webhook_secret },
    Octokit: Octokit.defaults({ baseUrl: workplace.upstreams.githubApiUrl }),
  });
}

describe('the webhooks that the emulated GitHub sends', () => {
  it('tells of an issue that is opened with a label in two deliveries that Octokit holds genuine', async () => {
    const { workplace, receiver } = await openWorkplace();
    const label = workplace.state().agent.label;
    await workplace.persons.openGithubIssue({ personId: 'maya', title: 'Broken', labels: [label] });
    await settled();
    expect(receiver.received.map(({ json, headers }) => [headers['x-github-event'], json.action])).toEqual([
      ['issues', 'opened'],
      ['issues', 'labeled'],
    ]);
    const { webhooks } = appOf(workplace);
    for (const { headers, body, json } of receiver.received) {
      expect(await webhooks.verify(body, headers['x-hub-signature-256'] ?? '')).toBe(true);
      expect(headers['x-github-hook-installation-target-type']).toBe('integration');
      expect(headers['x-github-hook-installation-target-id']).toBe(workplace.credentials.github.app_id);
      expect(headers['content-type']).toBe('application/json');
      expect(json).toMatchObject({
        installation: { id: Number(workplace.credentials.github.installation_id) },
        organization: { login: 'acme' },
        repository: { full_name: 'acme/widgets', owner: { login: 'acme' } },
        sender: { login: 'maya', type: 'User' },
        issue: { number: 1, title: 'Broken', author_association: 'MEMBER' },
      });
    }
    expect(receiver.received[1]?.json.label).toMatchObject({ name: label, id: expect.any(Number) });
    expect(new Set(receiver.received.map(({ headers }) => headers['x-github-delivery'])).size).toBe(2);
  });

  it("tells of the agent's own comment with the app in it", async () => {
    const { workplace, receiver } = await openWorkplace();
    const { number } = await workplace.persons.openGithubIssue({ personId: 'maya', title: 'Broken' });
    const { installation_id, app_id } = workplace.credentials.github;
    const octokit = await appOf(workplace).getInstallationOctokit(Number(installation_id));
    await octokit.request(`POST /repos/acme/widgets/issues/${number}/comments`, { body: 'On it' });
    await settled();
    expect(receiver.received.at(-1)?.json).toMatchObject({
      action: 'created',
      sender: { login: 'tagalong[bot]', type: 'Bot' },
      comment: { body: 'On it', performed_via_github_app: { id: Number(app_id) } },
    });
  });

  it('tells of a label that is added later, and of an outsider as one', async () => {
    const { workplace, receiver } = await openWorkplace();
    const { number } = await workplace.persons.openGithubIssue({ personId: 'guest', title: 'Broken' });
    await workplace.persons.labelGithubIssue({ personId: 'jonas', number, labels: ['tagalong', 'tagalong'] });
    await settled();
    expect(receiver.received.map(({ json }) => json.action)).toEqual(['opened', 'labeled']);
    expect(receiver.received[0]?.json.issue).toMatchObject({ author_association: 'NONE' });
    expect(receiver.received[1]?.json).toMatchObject({
      sender: { login: 'jonas' },
      label: { name: 'tagalong' },
    });
  });

  it('never retries by itself; a redelivery has the same GUID and another number', async () => {
    const { workplace, clock, receiver } = await openWorkplace();
    receiver.answerWith(500);
    await workplace.persons.openGithubIssue({ personId: 'maya', title: 'Broken' });
    await clock.advance(7 * 24 * 3_600_000);
    expect(receiver.received).toHaveLength(1);
    const { octokit } = appOf(workplace);
    const { data: failed } = await octokit.request('GET /app/hook/deliveries', { status: 'failure' });
    expect(failed).toMatchObject([
      { status_code: 500, event: 'issues', action: 'opened', redelivery: false },
    ]);
    const [delivery] = failed;
    const path = 'POST /app/hook/deliveries/{delivery_id}/attempts';
    const again = await octokit.request(path, { delivery_id: Number(delivery?.id) });
    expect(again.status).toBe(202);
    await settled();
    expect(receiver.received).toHaveLength(2);
    expect(receiver.received[1]?.headers['x-github-delivery']).toBe(delivery?.guid);
    expect(receiver.received[1]?.body).toBe(receiver.received[0]?.body);
    const { data: all } = await octokit.request('GET /app/hook/deliveries');
    expect(all.map(({ guid, redelivery }) => [guid, redelivery])).toEqual([
      [delivery?.guid, true],
      [delivery?.guid, false],
    ]);
    await expect(
      new Octokit({ baseUrl: workplace.upstreams.githubApiUrl }).request('GET /app/hook/deliveries'),
    ).rejects.toMatchObject({ status: 401 });
  });

  it('gives up after 10 s without an answer', async () => {
    const { workplace, clock, receiver } = await openWorkplace();
    receiver.answerWith('silent');
    await workplace.persons.openGithubIssue({ personId: 'maya', title: 'Broken' });
    await clock.advance(10_000);
    expect(workplace.github.sender.state()).toMatchObject({
      pending: [],
      records: [{ failure: 'http_timeout' }],
    });
  });
});
