import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createInstaller, type InstallProgress } from '../../src/agents/profiles/install.ts';
import { type Home, openHome } from '../../src/store/home.ts';

let folder: string;
let home: Home;
let npm: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tagalong-install-'));
  home = openHome(join(folder, 'home'));
  npm = join(folder, 'npm');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const wanted = { name: '@acme/agent', version: '1.2.3' };
const programs = () => join(home.open, 'programs');

/** Stands for npm, which is not ours to test: records how it was called, and does what the test wants. */
function fakeNpm(script: string): void {
  writeFileSync(npm, `#!/bin/sh\necho "$@" >> ${folder}/calls\nenv > ${folder}/env\n${script}\n`);
  chmodSync(npm, 0o755);
}
const puts =
  'mkdir -p node_modules/@acme/agent node_modules/agent-linux-x64 node_modules/.bin && echo 1 > node_modules/@acme/agent/x';

function installer(environment: Record<string, string> = {}, timeoutMs = 60_000) {
  return createInstaller({ home, environment: { PATH: '/usr/bin:/bin', ...environment }, npm, timeoutMs });
}

test('a program is installed once, whoever asks at the same time, and is there at the next start', async () => {
  fakeNpm(`sleep 0.3; ${puts}`);
  const install = installer();
  const told: InstallProgress[][] = [[], [], []];
  const answers = await Promise.all(told.map((list) => install(wanted, (progress) => list.push(progress))));
  expect(new Set(answers.map((answer) => answer.folder)).size).toBe(1);
  expect(answers[0]?.packages.toSorted()).toEqual(['@acme/agent', 'agent-linux-x64']);
  expect(told.map((list) => list.map(({ state }) => state))).toEqual(
    Array(3).fill(['installing', 'installed']),
  );
  expect(readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n')).toHaveLength(1);
  expect(readdirSync(programs())).toEqual(['@acme+agent@1.2.3']);
  fakeNpm('exit 1');
  const again: InstallProgress[] = [];
  await expect(installer()(wanted, (progress) => again.push(progress))).resolves.toMatchObject(
    answers[0] ?? {},
  );
  expect(again).toEqual([]);
});

test('other uids can read what was installed, whatever our own mask is', async () => {
  fakeNpm(puts);
  const before = process.umask(0o077);
  const { folder: target } = await installer()(wanted, () => {}).finally(() => process.umask(before));
  for (const path of [programs(), target, join(target, 'node_modules', '@acme')]) {
    expect(statSync(path).mode & 0o005, path).toBe(0o005);
  }
  expect(statSync(join(target, 'node_modules', '@acme', 'agent', 'x')).mode & 0o004).toBe(0o004);
});

test('npm runs no script of a package, and sees of our environment what it reads itself', async () => {
  fakeNpm(puts);
  await installer({
    HOME: '/root',
    HTTPS_PROXY: 'http://proxy:1',
    npm_config_registry: 'https://registry.acme.test/',
    ANTHROPIC_API_KEY: 'sk-secret',
    DATABASE_URL: 'postgres://x',
    NODE_OPTIONS: '--inspect',
  })(wanted, () => {});
  expect(readFileSync(join(folder, 'calls'), 'utf8')).toMatch(
    /^install .*--ignore-scripts .*--include=optional/,
  );
  const env = readFileSync(join(folder, 'env'), 'utf8');
  expect(env).toMatch(/HTTPS_PROXY=http:\/\/proxy:1/);
  expect(env).toMatch(/npm_config_registry=/);
  expect(env).not.toMatch(/sk-secret|postgres:|--inspect/);
});

test('a failed installation says why, leaves nothing, and the next try works', async () => {
  fakeNpm(
    'mkdir -p node_modules/half; echo "npm error code E404" >&2; echo "npm error 404 Not Found - GET https://r/agent" >&2; exit 1',
  );
  const install = installer();
  await expect(install(wanted, () => {})).rejects.toMatchObject({
    code: 'start_failed',
    message: 'The agent program @acme/agent 1.2.3 could not be installed: Not Found - GET https://r/agent',
  });
  expect(readdirSync(programs())).toEqual([]);
  fakeNpm(puts);
  await expect(install(wanted, () => {})).resolves.toBeDefined();
});

test('an installation that hangs is ended, with all that it started', async () => {
  fakeNpm(`sleep 1000 & echo $! > ${folder}/child; wait`);
  await expect(installer({}, 500)(wanted, () => {})).rejects.toThrow(/took too long/);
  const child = readFileSync(join(folder, 'child'), 'utf8').trim();
  const isGone = () =>
    !existsSync(`/proc/${child}`) || readFileSync(`/proc/${child}/stat`, 'utf8').includes(') Z ');
  while (!isGone()) await new Promise((resolve) => setTimeout(resolve, 20));
});

test('without npm it says so', async () => {
  npm = join(folder, 'nothing-here');
  await expect(installer()(wanted, () => {})).rejects.toThrow(
    /could not be installed: .*(not found|nothing-here)/,
  );
});

test('what a killed process left is removed, and is never taken for a program', async () => {
  fakeNpm(puts);
  mkdirSync(join(programs(), '.unfinished-4194304-@acme+agent', 'node_modules'), { recursive: true });
  await installer()(wanted, () => {});
  expect(readdirSync(programs())).toEqual(['@acme+agent@1.2.3']);
});
