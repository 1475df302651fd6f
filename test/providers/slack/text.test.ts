import { describe, expect, test } from 'vitest';
import { toMrkdwn } from '../../../src/providers/slack/mrkdwn.ts';
import { maxPartCharacters, maxParts, splitPosts } from '../../../src/providers/slack/split.ts';
import { chance } from '../support/mutate.ts';

describe('Markdown in Slack', () => {
  test.each([
    ['**bold** and *italic* and ~~gone~~', '*bold* and _italic_ and ~gone~'],
    ['## A heading', '*A heading*'],
    ['- one\n  - two', '• one\n  • two'],
    ['[docs](https://a.example/x?y=1&z=2)', '<https://a.example/x?y=1&amp;z=2|docs>'],
    ['<https://a.example>', '<https://a.example>'],
    ['2 * 3 * 4 and snake_case_name', '2 * 3 * 4 and snake_case_name'],
    ['`a < b` & c', '`a &lt; b` &amp; c'],
    ['```ts\nif (a < b) **c**\n```', '```\nif (a &lt; b) **c**\n```'],
    ['hello <@U123ABC> in <#C123ABC>', 'hello <@U123ABC> in <#C123ABC>'],
    ['**see [docs](https://a.example)**', '*see <https://a.example|docs>*'],
  ])('%j becomes %j', (markdown, expected) => {
    expect(toMrkdwn(markdown)).toBe(expected);
  });

  test.each([
    '<!channel>',
    '<!here|here>',
    '<!everyone>',
    '<!subteam^S123>',
    '`<!channel>`',
    '```\n<!channel>\n```',
    '**<!channel>**',
    '[x](https://a.example "<!channel>")',
    '<!chan\uE000nel>',
    '<<!channel>>',
    '[<!channel>](https://a.example)',
  ])('%j calls nobody', (markdown) => {
    expect(toMrkdwn(markdown)).not.toMatch(/<!/);
  });

  test('a link cannot say that it leads elsewhere', () => {
    expect(toMrkdwn('[https://bank.example](https://evil.example)')).toBe(
      'https://bank.example (<https://evil.example>)',
    );
    expect(toMrkdwn('[a](javascript:alert(1))')).not.toContain('<');
    expect(toMrkdwn('[a|b](https://a.example|x)')).not.toContain('<');
  });

  test('no mix of marks lets a special mention through', () => {
    const random = chance(11);
    const pieces = [
      '<',
      '>',
      '!',
      'channel',
      '`',
      '```',
      '\n',
      '*',
      '**',
      '[',
      ']',
      '(',
      ')',
      'https://a.b',
      '|',
      '~~',
      '\uE000',
      '\uE001',
      '0',
      '<!here>',
      '_',
      '#',
      ' ',
    ];
    for (let round = 0; round < 3_000; round++) {
      let text = '';
      for (let length = 0; length < 14; length++) text += pieces[Math.floor(random() * pieces.length)];
      expect(toMrkdwn(text)).not.toMatch(/<!/);
    }
  });
});

describe('long answers', () => {
  test('a short one is one post, an empty one none', () => {
    expect(splitPosts('hello')).toEqual(['hello']);
    expect(splitPosts('  \n ')).toEqual([]);
  });

  test('no post is too long, and nothing is lost between them', () => {
    const random = chance(3);
    const lines = Array.from({ length: 300 }, () => 'w'.repeat(Math.floor(random() * 120)));
    const parts = splitPosts(lines.join('\n'));
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) expect(part.length).toBeLessThanOrEqual(maxPartCharacters);
    expect(parts.join('\n').replaceAll('\n', '')).toBe(lines.join(''));
  });

  test('a code block goes on in the next post', () => {
    const parts = splitPosts(`before\n\`\`\`\n${'code\n'.repeat(2_000)}\`\`\`\nafter`);
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts)
      expect(part.match(/^```$/gm)?.length ?? 0).toSatisfy((count: number) => count % 2 === 0);
  });

  test('one endless line is cut, but not inside an entity, a mention or an emoji', () => {
    const line = '&amp;😀<@U123ABC>'.repeat(900);
    const parts = splitPosts(line);
    expect(parts.join('')).toBe(line);
    for (const part of parts) {
      expect(part.isWellFormed()).toBe(true);
      expect(part).not.toMatch(/&[a-z]{0,3}$|<[^>]*$|^[a-z]{0,3};/);
    }
  });

  test('a flood is cut, and says so', () => {
    const parts = splitPosts('line of text\n'.repeat(20_000));
    expect(parts).toHaveLength(maxParts);
    expect(parts.at(-1)).toContain('cut here');
  });
});
