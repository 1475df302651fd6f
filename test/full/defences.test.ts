import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defences } from '../security/defences.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
/** A copy of what tests run on; one defence at a time is taken out of it. */
let copy: string;

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'tagalong-defences-'));
  const parts = [
    'src',
    'test',
    'scripts',
    'migrations',
    'manifests',
    'dist',
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'vitest.config.ts',
  ];
  for (const part of parts) cpSync(join(checkout, part), join(copy, part), { recursive: true });
  symlinkSync(join(checkout, 'node_modules'), join(copy, 'node_modules'));
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numFailedTestSuites: number;
}

/** Runs the tests of a file whose names hold one of the titles. */
async function run(file: string, titles: readonly string[]): Promise<Report> {
  const report = join(copy, 'report.json');
  rmSync(report, { force: true });
  const pattern = titles.map((title) => title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
  const vitest = join(checkout, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [
    'run',
    file,
    '-t',
    pattern,
    '--testTimeout',
    '30000',
    '--reporter',
    'json',
    '--outputFile',
    report,
  ];
  const child = spawn(process.execPath, [vitest, ...args], {
    cwd: copy,
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  try {
    return JSON.parse(readFileSync(report, 'utf8')) as Report;
  } catch {
    throw new Error(`The tests of ${file} gave no report:\n${(out + err).slice(-2_000)}`);
  }
}

describe('without', () => {
  test.each(defences)(
    '$name, a test fails',
    async ({ file, text: wanted, without, test: testFile, title }) => {
      const path = join(copy, file);
      const whole = readFileSync(path, 'utf8');
      expect(whole.split(wanted), `"${wanted}" is in ${file} once`).toHaveLength(2);
      writeFileSync(
        path,
        whole.replace(wanted, () => without),
      );
      try {
        const report = await run(testFile, [title]);
        expect(report.numFailedTests).toBeGreaterThan(0);
      } finally {
        writeFileSync(path, whole);
      }
    },
  );
});

describe('with all of them', () => {
  test.each([...new Set(defences.map((defence) => defence.test))])(
    'the same tests of %s pass',
    async (file) => {
      const titles = defences.filter((defence) => defence.test === file).map(({ title }) => title);
      const report = await run(file, titles);
      expect([report.numFailedTests, report.numFailedTestSuites]).toEqual([0, 0]);
      expect(report.numPassedTests).toBeGreaterThanOrEqual(titles.length);
    },
  );
});
