import { describe, expect, test } from 'vitest';
import { type Block, type Inline, parseMarkdown } from '../../console/src/text/markdown.ts';

const text = (value: string): Inline => ({ kind: 'text', text: value });
const code = (value: string): Inline => ({ kind: 'code', text: value });
const paragraph = (...children: Inline[]): Block => ({ kind: 'paragraph', children });

describe('the Markdown of agents', () => {
  test('paragraphs, code, bold and fenced code are told apart', () => {
    expect(
      parseMarkdown('One **two `x` three**\nfour\n\n\n```ts\nlet a = `b`;\n\n**c**\n```\nfive `six`'),
    ).toEqual([
      paragraph(
        text('One '),
        { kind: 'bold', children: [text('two '), code('x'), text(' three')] },
        text('\nfour'),
      ),
      { kind: 'code', text: 'let a = `b`;\n\n**c**' },
      paragraph(text('five '), code('six')),
    ]);
  });

  test('what does not close stays the text that it is', () => {
    for (const source of [
      'a ** b',
      '**',
      '****',
      '`',
      '``',
      'a `b',
      '**a',
      '** a **',
      '2 ** 3 ** 4',
      'a*b*c',
    ]) {
      expect(parseMarkdown(source), source).toEqual([paragraph(text(source))]);
    }
  });

  test('a fence that was cut off is still code, and a longer fence holds a shorter one', () => {
    expect(parseMarkdown('```\nls -l\n')).toEqual([{ kind: 'code', text: 'ls -l\n' }]);
    expect(parseMarkdown('````\n```\nx\n```\n````')).toEqual([{ kind: 'code', text: '```\nx\n```' }]);
    expect(parseMarkdown('``` one line ```')).toEqual([paragraph(code(' one line '))]);
    expect(parseMarkdown('```not a language\n```')).toEqual([{ kind: 'code', text: 'not a language' }]);
    expect(parseMarkdown('a\r\n```\r\nb\r\n```\r\n')).toEqual([
      paragraph(text('a')),
      { kind: 'code', text: 'b' },
    ]);
  });

  test('a fence in Slack may begin and end within a line', () => {
    expect(parseMarkdown('Look:\n```one\n\ntwo``` and *so*', 'slack')).toEqual([
      paragraph(text('Look:')),
      { kind: 'code', text: 'one\n\ntwo' },
      paragraph(text(' and '), { kind: 'bold', children: [text('so')] }),
    ]);
  });

  test('a single star is bold in Slack only, and only around words', () => {
    expect(parseMarkdown('*a*')).toEqual([paragraph(text('*a*'))]);
    expect(parseMarkdown('so *a b*.', 'slack')).toEqual([
      paragraph(text('so '), { kind: 'bold', children: [text('a b')] }, text('.')),
    ]);
    for (const source of ['3*4*5', '* a\n* b', '*a\nb*', '*.ts *.js']) {
      expect(parseMarkdown(source, 'slack'), source).toEqual([paragraph(text(source))]);
    }
  });

  test('markup is text like any other', () => {
    expect(parseMarkdown('<script>alert(1)</script>')).toEqual([
      paragraph(text('<script>alert(1)</script>')),
    ]);
  });

  test('nothing gives nothing', () => {
    expect(parseMarkdown('')).toEqual([]);
    expect(parseMarkdown(' \n\n\t\n')).toEqual([]);
  });

  test('no text is lost, whatever it is made of', () => {
    const parts = ['`', '``', '*', '**', ' ', '1', '\n', 'é'];
    // A fixed linear congruential generator: the same texts in every run.
    let seed = 42;
    const next = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed;
    };
    for (let round = 0; round < 2_000; round++) {
      const source = Array.from(
        { length: 1 + (next() % 24) },
        () => parts[(next() >> 8) % parts.length],
      ).join('');
      const flavor = round % 2 === 0 ? 'slack' : 'markdown';
      const kept = (value: string) => value.replaceAll(/[`*\s]/g, '');
      expect(kept(flat(parseMarkdown(source, flavor))), JSON.stringify(source)).toBe(kept(source));
    }
  });

  test('a megabyte of openings without an end takes no longer than text', () => {
    for (const source of [
      `x${'`'.repeat(1_000_000)}`,
      '**a '.repeat(250_000),
      '` `` '.repeat(200_000),
      '*a '.repeat(300_000),
    ]) {
      expect(flat(parseMarkdown(source, 'slack')).length).toBeGreaterThan(0);
    }
  });
});

function flat(blocks: Block[]): string {
  const inline = (item: Inline): string =>
    item.kind === 'bold' ? item.children.map(inline).join('') : item.text;
  return blocks
    .map((block) => (block.kind === 'code' ? block.text : block.children.map(inline).join('')))
    .join('');
}
