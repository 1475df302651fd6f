import { describe, expect, test } from 'vitest';
import { useSite } from './support/site.ts';

describe('the workplace page', () => {
  const site = useSite();

  test('a first message in Slack needs one click, and the answer arrives by itself', async () => {
    const { page, problems } = await site.open('/');
    await page.waitForURL('**/workplace');
    const slack = page.getByRole('region', { name: 'Slack' });
    await slack.getByRole('button', { name: 'Send' }).click();

    await slack.getByText('Sent. Waiting for Ada…').waitFor();
    expect(site.workplace.received).toEqual([
      {
        path: '/slack/messages',
        body: { personId: 'maya', channel: 'C1', text: '@Ada run `uname -a` and tell me what it says' },
      },
    ]);
    expect(await slack.getByLabel('Message #general').inputValue()).toBe('');

    site.workplace.thread().status = 'is working…';
    site.workplace.changed();
    await slack.getByText('Ada is working…').waitFor();
    await page.getByText('Ada is working in Slack').waitFor();

    site.workplace.answerInSlack('It is *Linux*:\n```\nLinux sandbox 6.1\n```');
    await slack.locator('pre', { hasText: 'Linux sandbox 6.1' }).waitFor();
    expect(await slack.locator('strong', { hasText: /^Linux$/ }).count()).toBe(1);
    expect(await slack.getByText('Ada is working…').count()).toBe(0);
    await page.getByText('Ada is idle').waitFor();
    expect(problems).toEqual([]);
  });

  test('a follow-up goes into its thread, as the person chosen, in the channel chosen', async () => {
    const { page } = await site.open();
    await page.getByLabel('You are').selectOption({ label: 'Jonas Weber' });
    const slack = page.getByRole('region', { name: 'Slack' });
    await slack.getByRole('button', { name: '#support' }).click();
    await slack.getByLabel('Message #support').fill('@Ada hello');
    await slack.getByLabel('Message #support').press('Enter');
    const thread = slack.getByRole('region', { name: 'Thread started by Jonas Weber' });
    await thread.waitFor();
    site.workplace.answerInSlack('Hello Jonas');
    await thread.getByRole('button', { name: 'What did I ask first?' }).click();
    await thread.getByLabel('Reply in thread').press('Enter');
    await expect.poll(() => site.workplace.received.length).toBe(2);

    const { threadTs } = site.workplace.thread();
    expect(site.workplace.received[1]).toEqual({
      path: '/slack/messages',
      body: { personId: 'jonas', channel: 'C2', text: 'What did I ask first?', threadTs },
    });
    await expect.poll(() => thread.locator('article').count()).toBe(3);
  });

  test('a button under a message is pressed as the person chosen, and what is refused is said beside it', async () => {
    const { page } = await site.open();
    await page.getByLabel('You are').selectOption({ label: 'Jonas Weber' });
    const ts = '1700000000.000100';
    const buttons = ['Approve', 'Reject'].map((label) => ({ label, value: `${label.toLowerCase()} apr_1` }));
    const author = { name: 'Ada', isBot: true };
    const message = { ts, author, text: 'Approval needed', reactions: [], buttons };
    site.workplace.state.slack.threads.push({ channel: 'C1', threadTs: ts, messages: [message] });
    site.workplace.changed();
    const slack = page.getByRole('region', { name: 'Slack' });
    await slack.getByRole('button', { name: 'Approve' }).click();
    await expect.poll(() => site.workplace.received.length).toBe(1);
    expect(site.workplace.received).toEqual([
      { path: '/slack/buttons', body: { personId: 'jonas', channel: 'C1', ts, value: 'approve apr_1' } },
    ]);
    site.workplace.refuse = { path: '/slack/buttons', status: 400, message: 'There is no such button.' };
    await slack.getByRole('button', { name: 'Reject' }).click();
    await slack.getByText('There is no such button.').waitFor();
  });

  test('Shift+Enter makes a line, and a message of white space is not sent', async () => {
    const { page } = await site.open();
    const field = page.getByLabel('Message #general');
    await field.fill('   ');
    await field.press('Enter');
    await field.fill('@Ada one');
    await field.press('Shift+Enter');
    await field.pressSequentially('two');
    await field.press('Enter');
    await expect.poll(() => site.workplace.received.map(({ body }) => body.text)).toEqual(['@Ada one\ntwo']);
  });

  test('an issue is opened, labelled later, and the answer and the eyes appear', async () => {
    const { page, problems } = await site.open();
    const github = page.getByRole('region', { name: 'GitHub' });
    await github.getByLabel('Title').fill('Screws are missing');
    await github.getByLabel('Add label “agent”').uncheck();
    await github.getByRole('button', { name: 'Open issue' }).click();
    await github.getByRole('heading', { name: 'Screws are missing #1' }).waitFor();
    expect(site.workplace.issue().labels).toEqual([]);
    expect(site.workplace.issue().body).toBe('Run `uname -a` and tell me what it says.');

    await github.getByRole('button', { name: 'Add label “agent”' }).click();
    await github.getByRole('list', { name: 'Labels' }).getByText('agent').waitFor();
    await github.getByText('Sent. Waiting for Ada…').waitFor();
    site.workplace.issue().reactions.push({ name: 'eyes', count: 1 });
    site.workplace.changed();
    await github.getByRole('list', { name: 'Reactions' }).getByText('eyes').waitFor();
    await github.getByText('Ada is working…').waitFor();
    site.workplace.answerInGithub('Found **them**.');
    await github.locator('strong', { hasText: /^them$/ }).waitFor();
    expect(await github.getByText('Ada is working…').count()).toBe(0);

    await github.getByLabel('Comment on #1').fill('@ada thank you');
    await github.getByLabel('Comment on #1').press('Control+Enter');
    await github.locator('article', { hasText: 'thank you' }).waitFor();
    await github.getByRole('button', { name: 'All issues' }).click();
    await github.getByRole('button', { name: /Screws are missing/ }).waitFor();
    expect(problems).toEqual([]);
  });

  test('a Linear issue is delegated, and thoughts, actions and the answer are shown', async () => {
    const { page, problems } = await site.open();
    const linear = page.getByRole('region', { name: 'Linear' });
    await linear.getByRole('button', { name: 'Create issue' }).click();
    const session = linear.getByRole('region', { name: 'Session with Ada' });
    await session.getByText('Starting').waitFor();
    expect(site.workplace.received[0]?.body).toMatchObject({ personId: 'maya', delegate: true });

    site.workplace.actInLinear('active', 'thought', 'I look at the issue.');
    await session.getByText('Working', { exact: true }).waitFor();
    site.workplace.actInLinear('active', 'action', 'bash `df -h /tmp`');
    site.workplace.actInLinear('complete', 'response', 'There are 12 GB free.');
    await session.getByText('Done').waitFor();
    await session.getByText('There are 12 GB free.').waitFor();
    expect(await session.getByText('Thought').count()).toBe(1);
    expect(await session.locator('code', { hasText: 'df -h /tmp' }).count()).toBe(1);

    await linear.getByLabel('Message Ada').fill('And in the workspace?');
    await linear.getByRole('button', { name: 'Send' }).click();
    await session.getByText('And in the workspace?').waitFor();
    site.workplace.actInLinear('error', 'error', 'The sandbox ran out of disk. Try again.');
    await session.getByText('Failed', { exact: true }).waitFor();
    await session.getByText('The sandbox ran out of disk. Try again.').waitFor();
    expect(problems).toEqual([]);
  });

  test('an issue that nobody delegated can be delegated later', async () => {
    const { page } = await site.open();
    const linear = page.getByRole('region', { name: 'Linear' });
    await linear.getByLabel('Delegate to Ada').uncheck();
    await linear.getByRole('button', { name: 'Create issue' }).click();
    await linear.getByRole('button', { name: 'Delegate to Ada' }).click();
    await linear.getByText('delegated to Ada').waitFor();
    expect(site.workplace.received.map(({ path }) => path)).toEqual([
      '/linear/issues',
      '/linear/issues/issue-1/delegate',
    ]);
  });

  test('a session without a sign says so, and comments of the agent are shown once', async () => {
    const { page } = await site.open();
    const linear = page.getByRole('region', { name: 'Linear' });
    await linear.getByRole('button', { name: 'Create issue' }).click();
    await linear.getByText('Starting').waitFor();
    site.workplace.session().unresponsive = true;
    site.workplace.state.linear.issues[0]?.comments.push({
      id: 'comment-1',
      author: { name: 'Ada', isBot: true },
      body: 'For the record: `df` was run.',
    });
    site.workplace.changed();
    await linear.getByText('Not responding').waitFor();
    await linear.getByText('For the record: df was run.').waitFor();

    // Linear makes a comment of what is said in a session; it is not shown a second time.
    const author = { name: 'Ada', isBot: true };
    site.workplace.state.linear.issues[0]?.comments.push({ id: 'comment-2', author, body: 'Said once.' });
    site.workplace.actInLinear('complete', 'response', 'Said once.');
    await linear.getByText('Done').waitFor();
    await linear.getByText('Said once.').waitFor();
  });

  test('a direct message is a channel of its own, and a guest is marked as one', async () => {
    site.workplace.state.slack.channels.push({ id: 'D1', name: '@ada' });
    const { page } = await site.open();
    const person = page.getByLabel('You are');
    await person.selectOption({ label: 'Gia Rossi (guest)' });
    await page.getByRole('button', { name: '@ada', exact: true }).click();
    await page.getByLabel('Message @ada').fill('hello');
    await page.getByLabel('Message @ada').press('Enter');
    await expect
      .poll(() => site.workplace.received[0]?.body)
      .toEqual({ personId: 'guest', channel: 'D1', text: 'hello' });
    await page.reload();
    expect(await person.inputValue()).toBe('guest');
  });

  test('says when the model is the offline one, and says nothing of it otherwise', async () => {
    const { page } = await site.open();
    await page
      .getByText('follows simple rules; set ANTHROPIC_API_KEY or OPENAI_API_KEY for a real one.')
      .waitFor();
    site.workplace.state.model = { offline: false };
    site.workplace.changed();
    await expect.poll(() => page.getByText('ANTHROPIC_API_KEY').count()).toBe(0);
  });
});
