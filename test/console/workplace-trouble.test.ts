import { describe, expect, test } from 'vitest';
import { FakeWorkplace } from './support/fake-workplace.ts';
import { useSite } from './support/site.ts';
import { emptyWorkplace } from './support/workplace-data.ts';

const hostile = [
  '<img src=x onerror=alert(1)>',
  '<script>alert(2)</script>',
  '**<b onmouseover=alert(3)>bold</b>**',
  '[click](javascript:alert(4))',
  '`<svg onload=alert(5)>`',
].join('\n\n');

describe('the workplace page in trouble', () => {
  const site = useSite();

  test('a refused message is explained beside the field, and its text is kept until it is sent', async () => {
    const { page } = await site.open();
    site.workplace.refuse = { path: '/slack/messages', status: 400, message: 'The channel is archived.' };
    const slack = page.getByRole('region', { name: 'Slack' });
    const field = slack.getByLabel('Message #general');
    await field.fill('@Ada a long thought');
    await slack.getByRole('button', { name: 'Send' }).click();
    await slack.getByRole('alert').getByText('The channel is archived.').waitFor();
    expect(await field.inputValue()).toBe('@Ada a long thought');

    await page.reload();
    expect(await field.inputValue()).toBe('@Ada a long thought');
    site.workplace.refuse = undefined;
    await slack.getByRole('button', { name: 'Send' }).click();
    await slack.locator('article', { hasText: '@Ada a long thought' }).waitFor();
    expect(await field.inputValue()).toBe('');
    expect(site.workplace.received).toHaveLength(1);
  });

  test('a refused issue keeps its form, and a failure without words gets some', async () => {
    const { page } = await site.open();
    site.workplace.refuse = { path: '/github/issues', status: 500 };
    const github = page.getByRole('region', { name: 'GitHub' });
    await github.getByLabel('Title').fill('Kept');
    await github.getByRole('button', { name: 'Open issue' }).click();
    await github
      .getByRole('alert')
      .getByText('The server answered with status 500 and gave no reason.')
      .waitFor();
    expect(await github.getByLabel('Title').inputValue()).toBe('Kept');
  });

  test('two quick clicks send once', async () => {
    const { page } = await site.open();
    const send = page.getByRole('region', { name: 'Slack' }).getByRole('button', { name: 'Send' });
    await send.evaluate((button) => {
      (button as HTMLButtonElement).click();
      (button as HTMLButtonElement).click();
    });
    await expect.poll(() => site.workplace.thread().messages.length).toBe(1);
    await page.getByText('Sent. Waiting for Ada…').waitFor();
    expect(site.workplace.received).toHaveLength(1);
  });

  test('hostile text from an agent is shown as text, everywhere', async () => {
    const state = emptyWorkplace();
    state.agent = { ...state.agent, name: '<i>Ada</i>' };
    site.workplace = new FakeWorkplace(state);
    const { page, problems } = await site.open();
    await page.getByRole('region', { name: 'Slack' }).getByRole('button', { name: 'Send' }).click();
    await page.getByRole('button', { name: 'Open issue' }).click();
    await page.getByRole('button', { name: 'Create issue' }).click();
    await expect.poll(() => site.workplace.received.length).toBe(3);
    site.workplace.answerInSlack(hostile);
    site.workplace.answerInGithub(hostile);
    site.workplace.actInLinear('complete', 'response', hostile);

    await expect.poll(() => page.getByText('<img src=x onerror=alert(1)>').count()).toBe(3);
    expect(await page.getByText('<script>alert(2)</script>').count()).toBe(3);
    expect(await page.locator('strong', { hasText: '<b onmouseover=alert(3)>bold</b>' }).count()).toBe(3);
    expect(await page.locator('article :is(img, script, a, b, i)').count()).toBe(0);
    expect(problems).toEqual([]);
  });

  test('a very long message starts folded and opens whole', async () => {
    const { page } = await site.open();
    const slack = page.getByRole('region', { name: 'Slack' });
    await slack.getByRole('button', { name: 'Send' }).click();
    await expect.poll(() => site.workplace.received.length).toBe(1);
    site.workplace.answerInSlack(`${'x'.repeat(200_000)}END`);
    await slack.getByRole('button', { name: 'Show all 200,003 characters' }).click();
    await slack.getByText('xEND').waitFor();
    expect(await slack.evaluate((panel) => panel.scrollWidth <= panel.clientWidth)).toBe(true);
  });

  test('a lost connection is said quietly, and what happened meanwhile is shown once it is back', async () => {
    const { page } = await site.open();
    await page.getByRole('region', { name: 'Slack' }).getByRole('button', { name: 'Send' }).click();
    await page.getByText('Sent. Waiting for Ada…').waitFor();
    await site.server.stop();
    await page.getByText('Connection lost. Reconnecting…').waitFor();
    expect(await page.getByRole('region', { name: 'Slack' }).locator('article').count()).toBe(1);

    const field = page.getByLabel('Message #general');
    await field.fill('typed while away');
    await field.press('Enter');
    await page.getByText('The server cannot be reached. Is `npm start` still running?').waitFor();
    expect(await field.inputValue()).toBe('typed while away');

    site.workplace.answerInSlack('Here I am');
    await site.server.start();
    await page.getByText('Here I am').waitFor();
    await expect.poll(() => page.getByText('Connection lost. Reconnecting…').count()).toBe(0);
    expect(await field.inputValue()).toBe('typed while away');
  });

  test('an agent that gives no sign for 20 seconds is not waited for in silence', async () => {
    const { page } = await site.open('about:blank');
    await page.clock.install();
    await page.goto(`${site.server.origin}/workplace`);
    await page.getByRole('region', { name: 'Slack' }).getByRole('button', { name: 'Send' }).click();
    await page.getByText('Sent. Waiting for Ada…').waitFor();
    await page.clock.fastForward(20_000);
    await page.getByText('No sign of Ada yet.').waitFor();
    await page.getByText('npx tagalong doctor').waitFor();
    site.workplace.answerInSlack('Late, but here');
    await page.getByText('Late, but here').waitFor();
    expect(await page.getByText('No sign of Ada yet.').count()).toBe(0);
  });

  test('a stream that ends is opened again, and only one stays open', async () => {
    const { page } = await site.open();
    await expect.poll(() => site.workplace.streams).toBe(1);
    site.workplace.cutStreams();
    await expect.poll(() => site.workplace.streams).toBe(0);
    await expect.poll(() => site.workplace.streams, { timeout: 10_000 }).toBe(1);
    site.workplace.state.agent.name = 'Eda';
    site.workplace.changed();
    await page.getByText('Eda is idle').waitFor();
    site.workplace.state.agent.name = 'Ada';
  });

  test('without a sign-in it says how to get a link, and goes on once there is one', async () => {
    site.workplace.refuse = { path: '/workplace/api', status: 401, message: 'No.' };
    const { page } = await site.open();
    await page.getByRole('heading', { name: 'This browser is not signed in' }).waitFor();
    await page.getByText('npx tagalong link').waitFor();
    site.workplace.refuse = undefined;
    await page.getByRole('region', { name: 'Slack' }).waitFor();
  });

  test('without an emulated publication it says that there is no workplace', async () => {
    site.workplace.refuse = { path: '/workplace/api', status: 404, message: 'No.' };
    const { page } = await site.open();
    await page.getByRole('heading', { name: 'No emulated workplace here' }).waitFor();
  });

  test('an unknown path is answered with a way to the workplace', async () => {
    const { page, problems } = await site.open('/agents/<b>');
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    await page.getByRole('link', { name: 'Go to the workplace' }).click();
    await page.getByRole('region', { name: 'Slack' }).waitFor();
    expect(problems).toEqual([]);
  });
});
