import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { FakeWorkplace } from './support/fake-workplace.ts';
import { useSite } from './support/site.ts';
import { busyWorkplace, emptyWorkplace } from './support/workplace-data.ts';

const phone = { viewport: { width: 390, height: 844 } };

describe('the layout of the workplace page', () => {
  const site = useSite();

  test.each([390, 320])('at %d px there are tabs, and nothing scrolls sideways', async (width) => {
    for (const state of [emptyWorkplace(), busyWorkplace(Date.now())]) {
      site.workplace = new FakeWorkplace(state);
      site.workplace.state.github.issues[0]?.comments.push({
        id: 99,
        author: { name: 'w'.repeat(120), isBot: false },
        body: `${'long'.repeat(80)}\n\`\`\`\n${'code '.repeat(80)}\n\`\`\``,
        reactions: [],
      });
      const { page } = await site.open('/workplace', { viewport: { width, height: 844 } });
      for (const name of ['Slack', 'GitHub', 'Linear']) {
        await page.getByRole('tab', { name }).click();
        await page.getByRole('tabpanel', { name }).waitFor();
        expect(await page.getByRole('tabpanel').count()).toBe(1);
        const issue = page.locator('.issue-list button').last();
        if ((await issue.count()) > 0) await issue.click();
        expect(await widest(page), name).toBeLessThanOrEqual(width);
      }
      await page.context().close();
    }
  });

  test('the newest message stays in view as the field grows, and a reader who scrolled up is left alone', async () => {
    site.workplace = new FakeWorkplace(longChannel());
    const { page } = await site.open();
    const log = page.getByRole('log', { name: 'Messages in #general' });
    const fromEnd = () =>
      log.evaluate((box) => Math.round(box.scrollHeight - box.scrollTop - box.clientHeight));
    await expect.poll(fromEnd).toBe(0);
    await page.getByLabel('Message #general').fill('one\ntwo\nthree\nfour\nfive\nsix');
    await expect.poll(fromEnd).toBe(0);
    site.workplace.answerInSlack('the newest');
    await log.getByText('the newest').waitFor();
    await expect.poll(fromEnd).toBe(0);

    await log.evaluate((box) => box.scrollTo(0, 100));
    site.workplace.answerInSlack('newer still');
    await log.getByText('newer still').waitFor();
    expect(await log.evaluate((box) => box.scrollTop)).toBe(100);
  });

  test('a message that comes before the event of the scroll does not pull the reader down', async () => {
    site.workplace = new FakeWorkplace(longChannel());
    const { page } = await site.open();
    const log = page.getByRole('log', { name: 'Messages in #general' });
    await expect
      .poll(() => log.evaluate((box) => Math.round(box.scrollHeight - box.scrollTop - box.clientHeight)))
      .toBe(0);
    await log.evaluate((box) => {
      box.addEventListener('scroll', (event) => event.stopImmediatePropagation(), { capture: true });
      box.scrollTo(0, 100);
    });
    site.workplace.answerInSlack('newer still');
    await log.getByText('newer still').waitFor();
    expect(await log.evaluate((box) => box.scrollTop)).toBe(100);
  });

  test('tabs move by arrow keys, and say where the agent works', async () => {
    site.workplace = new FakeWorkplace(busyWorkplace(Date.now()));
    const { page } = await site.open('/workplace', phone);
    await page.getByRole('tab', { name: 'Slack (working)' }).press('ArrowRight');
    await page.getByRole('tabpanel', { name: 'GitHub' }).waitFor();
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    await page.getByRole('tabpanel', { name: 'Linear' }).waitFor();
    await page.reload();
    await page.getByRole('tabpanel', { name: 'Linear' }).waitFor();
  });

  test('every control has a name, every id is one of a kind, and the page says what it is', async () => {
    site.workplace = new FakeWorkplace(busyWorkplace(Date.now()));
    const { page } = await site.open();
    await page.getByRole('button', { name: /Which system/ }).click();
    await page.getByRole('region', { name: 'Linear' }).getByRole('button', { name: 'New issue' }).click();
    await page.getByLabel('Title').waitFor();
    expect(await page.evaluate(findUnnamed)).toEqual([]);
    expect(await page.locator('html').getAttribute('lang')).toBe('en');
    expect(await page.title()).toBe('Workplace · Tagalong');
    expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1);
    expect(await page.getByRole('main').count()).toBe(1);
  });

  test('text stands out from its ground, in light and in dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      site.workplace = new FakeWorkplace(busyWorkplace(Date.now()));
      const { page } = await site.open('/workplace', { colorScheme });
      await page.getByRole('button', { name: /Which system/ }).click();
      await page.getByRole('button', { name: /How much disk/ }).click();
      expect(await page.evaluate(findFaint), colorScheme).toEqual([]);
    }
  });

  test('everything can be reached and used by keyboard alone', async () => {
    const { page } = await site.open();
    await page.getByLabel('You are').focus();
    const reached = new Set<string>();
    for (let press = 0; press < 20; press++) {
      await page.keyboard.press('Tab');
      reached.add(
        await page.evaluate(() => document.activeElement?.textContent || document.activeElement?.id || ''),
      );
    }
    expect([...reached]).toEqual(expect.arrayContaining(['#support', 'Send', 'Open issue', 'Create issue']));
    await page.getByRole('button', { name: 'Open issue' }).press('Enter');
    const heading = page.getByRole('heading', { name: /Which system do our builds run on/ });
    await heading.waitFor();
    expect(await heading.evaluate((element) => element === document.activeElement)).toBe(true);
  });
});

/** A channel with more messages than its box can show at once. */
function longChannel() {
  const state = emptyWorkplace();
  for (let index = 0; index < 40; index++) {
    const ts = `${1_700_000_000 + index}.000100`;
    const text = `message ${index}`;
    const first = { ts, author: { name: 'Maya', isBot: false }, text, reactions: [] };
    state.slack.threads.push({ channel: 'C1', threadTs: ts, messages: [first] });
  }
  return state;
}

function widest(page: Page): Promise<number> {
  return page.evaluate(() => {
    const inside = [...document.querySelectorAll('.panel-scroll')].map((box) => box.scrollWidth);
    return Math.max(document.documentElement.scrollWidth, ...inside);
  });
}

/** Runs in the page: controls without a name, and ids given twice. */
function findUnnamed(): string[] {
  const found: string[] = [];
  for (const control of document.querySelectorAll<HTMLInputElement>('input, textarea, select')) {
    if (![...(control.labels ?? [])].some((label) => label.textContent?.trim()))
      found.push(control.outerHTML);
  }
  for (const button of document.querySelectorAll('button, a')) {
    if (!button.textContent?.trim()) found.push(button.outerHTML);
  }
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  found.push(...ids.filter((id, index) => ids.indexOf(id) !== index));
  for (const element of document.querySelectorAll('[aria-labelledby], [aria-describedby], [aria-controls]')) {
    for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls']) {
      const id = element.getAttribute(name);
      if (id && !document.getElementById(id)) found.push(`${name}=${id}`);
    }
  }
  return found;
}

/** Runs in the page: texts whose contrast is below 4.5, the least that WCAG 2.2 AA asks of small text. */
function findFaint(): string[] {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  if (!canvas) throw new Error('This browser has no canvas.');
  const luminance = (pixel: Uint8ClampedArray) => {
    const [r = 0, g = 0, b = 0] = [...pixel].slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paint = (colors: string[]) => {
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return luminance(canvas.getImageData(0, 0, 1, 1).data);
  };
  const found: string[] = [];
  for (const element of document.querySelectorAll<HTMLElement>('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
    if (!own || element.matches(':disabled, .visually-hidden, noscript, option')) continue;
    const grounds: string[] = [];
    for (let at: Element | null = element; at; at = at.parentElement) {
      grounds.unshift(getComputedStyle(at).backgroundColor);
    }
    const ground = paint(['white', ...grounds]);
    const text = paint(['white', ...grounds, getComputedStyle(element).color]);
    const contrast = (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
    if (contrast < 4.5)
      found.push(`${contrast.toFixed(2)} ${element.className} ${element.textContent?.slice(0, 40)}`);
  }
  return found;
}
