import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { defences } from './defences.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(checkout, 'docs/security-cases.md'), 'utf8');

/** The cases that the page must have, by letter; numbers that are left out name none. */
const cases: Readonly<Record<string, string>> = {
  A: '1-13 15 16',
  B: '1-24 26 28-33',
  C: '1-4 6 8-16 18-22',
  D: '1-6 8 10-12 14 15',
  E: '1 3-8 10 11 13 14',
  F: '1-3 5-7 9-14',
  G: '1 4-9',
  H: '1-15 17-22',
  I: '1-3 5-7 9-14',
  J: '1-5',
};

const range = (text: string): number[] => {
  const [from = 0, to = from] = text.split('-').map(Number);
  return Array.from({ length: to - from + 1 }, (_, n) => from + n);
};
const expected = Object.entries(cases).flatMap(([letter, numbers]) =>
  numbers.split(' ').flatMap((part) => range(part).map((n) => `${letter}${String(n).padStart(2, '0')}`)),
);

interface Row {
  ids: string[];
  holds: string;
  shown: string;
  tests: { file: string; title: string }[];
}

const rows: Row[] = page.split('\n').flatMap((line) => {
  const match = /^\| ([A-J]\d\d)(?:–[A-J](\d\d))? \| (.+?) \| (.+) \|$/.exec(line);
  if (!match) return [];
  const [, first = '', last, holds = '', shown = ''] = match;
  const ids = range(`${Number(first.slice(1))}-${Number(last ?? first.slice(1))}`).map(
    (n) => `${first[0]}${String(n).padStart(2, '0')}`,
  );
  const tests = [...shown.matchAll(/`(test\/[^`]+)` “([^”]+)”/g)].map(([, file = '', title = '']) => ({
    file,
    title,
  }));
  return [{ ids, holds, shown, tests }];
});

/** The titles of a file's tests, as they are written there. */
function titlesIn(file: string): Set<string> {
  const source = readFileSync(join(checkout, file), 'utf8');
  const titles = source.matchAll(
    /(?:\b(?:it|test|describe)(?:\.\w+)*|\))\s*\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g,
  );
  return new Set([...titles].map(([, , title = '']) => title.replace(/\\(.)/g, '$1')));
}

describe('the page of attack cases', () => {
  it('has every case once', () => {
    expect(rows.flatMap(({ ids }) => ids)).toEqual(expected);
  });

  it('has no row that cannot be read', () => {
    const all = page.split('\n').filter((line) => /^\| [A-J]\d/.test(line));
    expect(all.length).toBe(rows.length);
    for (const { shown, tests } of rows) expect(tests.length, shown).toBe(shown.split('`test/').length - 1);
  });

  it('names tests that exist', () => {
    const missing = rows.flatMap(({ ids, tests }) =>
      tests
        .filter(({ file, title }) => !existsSync(join(checkout, file)) || !titlesIn(file).has(title))
        .map(({ file, title }) => `${ids[0]}: ${file} “${title}”`),
    );
    expect(missing).toEqual([]);
  });

  it('says in words why where no test is named', () => {
    for (const { ids, shown, tests } of rows) {
      if (tests.length === 0)
        expect(shown, ids[0]).toMatch(/^(Does not apply: |Not defended: |Not shown: |PENDING$)/);
    }
  });
});

describe('the list of defences', () => {
  it('names what is there to be turned off, and tests that look', () => {
    for (const { name, file, text, test, title } of defences) {
      expect(readFileSync(join(checkout, file), 'utf8').split(text).length - 1, `${name}: ${file}`).toBe(1);
      // What all providers share stands in one file that theirs calls.
      const titles = [...titlesIn(test), ...titlesIn('test/providers/contract.ts')];
      expect(
        titles.some((each) => each.includes(title)),
        `${name}: ${test} “${title}”`,
      ).toBe(true);
    }
    expect(new Set(defences.map(({ name }) => name)).size).toBe(defences.length);
    expect(defences.length).toBeGreaterThanOrEqual(20);
  });
});
