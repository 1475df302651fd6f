import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WebClient } from '@slack/web-api';
import { describe, expect, it } from 'vitest';
import { startWorkplace } from '../../src/workplace/workplace.ts';
import { settled } from './support/manual-clock.ts';
import { openWorkplace, temporaryFolder } from './support/open-workplace.ts';

describe("the workplace's state", () => {
  it('is the same after a restart: talk, ids, tokens, secrets, addresses', async () => {
    const { workplace, start } = await openWorkplace({ agentName: 'Bean Counter' });
    const { channel, ts } = await workplace.persons.postSlackMessage({
      personId: 'maya',
      channel: 'general',
      text: 'hi @bean-counter',
    });
    const slack = new WebClient(workplace.credentials.slack.bot_token, {
      slackApiUrl: workplace.upstreams.slackApiUrl,
    });
    await slack.chat.postMessage({ channel, thread_ts: ts, text: 'hello' });
    await slack.assistant.threads.setStatus({ channel_id: channel, thread_ts: ts, status: 'thinking' });
    const { number } = await workplace.persons.openGithubIssue({ personId: 'jonas', title: 'Broken' });
    const reactions = `${workplace.upstreams.githubApiUrl}/repos/acme/widgets/issues/${number}/reactions`;
    const headers = { authorization: `Bearer ${workplace.persons.githubToken('jonas')}` };
    await fetch(reactions, { method: 'POST', headers, body: '{"content":"eyes"}' });
    workplace.persons.createLinearIssue({ personId: 'maya', title: 'Broken', delegate: true });
    await settled();
    const { credentials, upstreams, apiSecret, modelApiKey } = workplace;
    const state = workplace.state();
    expect(state.agent).toMatchObject({ name: 'Bean Counter', slackHandle: '@bean-counter' });
    await workplace.close();

    const again = await start();
    expect(again).toMatchObject({ credentials, upstreams, apiSecret, modelApiKey });
    expect(again.state()).toEqual(state);
    // New things get new ids.
    expect(await again.persons.openGithubIssue({ personId: 'jonas', title: 'More' })).toEqual({
      number: number + 1,
    });
    const next = await again.persons.postSlackMessage({
      personId: 'maya',
      channel,
      threadTs: ts,
      text: 'and?',
    });
    expect(next.ts > ts).toBe(true);
    const twice = await fetch(reactions, { method: 'POST', headers, body: '{"content":"eyes"}' });
    expect(twice.status).toBe(200);
  });

  it('is on the disk soon after a change, whole, and for its owner only', async () => {
    const { workplace, folder } = await openWorkplace();
    workplace.persons.createLinearIssue({ personId: 'maya', title: 'Kept?' });
    const path = join(folder, 'workplace.json');
    await expect.poll(async () => (await readFile(path, 'utf8')).includes('Kept?')).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(path, 'utf8')).version).toBe(1);
  });

  it('is refused when the file is broken, and left as it is', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'workplace.json'), '{"version":1,"sta');
    await expect(startWorkplace({ folder })).rejects.toThrow('cannot be read by this version');
    expect(await readFile(join(folder, 'workplace.json'), 'utf8')).toBe('{"version":1,"sta');
  });

  it('has secrets that no other workplace has', async () => {
    const [one, other] = [await openWorkplace(), await openWorkplace()];
    const secretsOf = ({ workplace }: typeof one) => [
      workplace.apiSecret,
      workplace.modelApiKey,
      ...Object.values(workplace.credentials).flatMap((given) =>
        Object.values(given as Record<string, string>),
      ),
    ];
    expect(secretsOf(one).filter((secret) => secretsOf(other).includes(secret))).toEqual([]);
  });
});
