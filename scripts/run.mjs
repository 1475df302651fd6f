#!/usr/bin/env node
// `node scripts/run.mjs <what> …`: sets up what is missing, then runs it on the pinned Node.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { checkout, isInstalled, pinnedNode, SetupError, setUp } from './setup.mjs';

const [what = 'start', ...rest] = process.argv.slice(2);
const vitest = join(checkout, 'node_modules', 'vitest', 'vitest.mjs');

/** Which program each word runs in a checkout; any other word is a command of `tagalong`. */
const programs = isInstalled
  ? {}
  : {
      test: [vitest, 'run', ...reporters(), ...rest],
      'test:full': [vitest, 'run', '--config', 'vitest.full.config.ts', ...reporters(), ...rest],
      bench: [join(checkout, 'bench', 'main.ts'), ...rest],
      prepack: [join(checkout, 'scripts', 'pack.ts')],
    };
const commands = isInstalled
  ? join(checkout, 'dist', 'cli', 'main.js')
  : join(checkout, 'src', 'cli', 'main.ts');

function reporters() {
  const report = process.env.TAGALONG_TEST_REPORT;
  return report ? ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`] : [];
}

try {
  setUp({ tests: what === 'test' || what === 'test:full' });
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}

const args = programs[what] ?? [commands, what, ...rest];
const child = spawn(pinnedNode, args, { stdio: 'inherit' });
// A terminal's Ctrl-C reaches the child by itself; a signal to this process alone is passed on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
});
