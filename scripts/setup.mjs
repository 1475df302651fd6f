// Brings a checkout to where it can run: npm packages with the pinned Node, bubblewrap, bundles. For an installed
// package npm has done all of that but bubblewrap. Plain JavaScript, since it runs on whatever Node (20.19 or newer) is
// on the machine, before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
/** npm leaves the lock file out of what it packs. */
export const isInstalled = !existsSync(join(checkout, 'package-lock.json'));
export const pinnedNode = isInstalled
  ? join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin', 'node')
  : join(checkout, 'node_modules', 'node', 'bin', 'node');

/** What the tests drive: pages by a browser, the way out by the programs that agents use. */
const testPrograms = [
  { program: 'chromium', package: 'chromium', why: 'the tests look at pages with it' },
  ...[
    ['curl', 'curl'],
    ['git', 'git'],
    ['wget', 'wget'],
    ['openssl', 'openssl'],
    ['python3', 'python3'],
    ['pip3', 'python3-pip'],
    ['java', 'default-jre-headless'],
    ['ruby', 'ruby'],
    ['gh', 'gh'],
  ].map(([program, name]) => ({ program, package: name, why: 'the tests send requests with it' })),
];

/** What is missing cannot be installed from here; the message is the one line to run. */
export class SetupError extends Error {}

/** @param {{ quiet?: boolean, tests?: boolean }} options */
export function setUp(options = {}) {
  const say = options.quiet ? () => {} : (line) => process.stderr.write(`${line}\n`);
  checkNode();
  if (!isInstalled) installPackages(say);
  installPrograms(
    [
      { program: 'bwrap', package: 'bubblewrap', why: 'agents run in it' },
      { program: 'ip', package: 'iproute2', why: 'it brings up the sandbox loopback' },
      ...(options.tests ? testPrograms : []),
    ],
    say,
  );
  if (!isInstalled) build(say);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(
    `Node ${process.versions.node} is too old to set Tagalong up. Install Node 20.19 or newer.`,
  );
}

function installPackages(say) {
  const lock = createHash('sha256')
    .update(readFileSync(join(checkout, 'package-lock.json')))
    .digest('hex');
  const stamp = join(checkout, 'node_modules', '.tagalong-lock');
  if (existsSync(pinnedNode) && existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say('Installing the npm packages …');
  run(
    'npm',
    ['ci', '--no-audit', '--no-fund', '--loglevel=error'],
    'The npm packages could not be installed',
  );
  if (!existsSync(pinnedNode)) {
    throw new SetupError(
      `npm left no Node at ${pinnedNode}. Allow install scripts (npm config get ignore-scripts) and run it again.`,
    );
  }
  writeFileSync(stamp, lock);
}

function onPath(program) {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .some((folder) => folder && existsSync(join(folder, program)));
}

function installPrograms(wanted, say) {
  const missing = wanted.filter(({ program }) => !onPath(program));
  if (missing.length === 0) return;
  const packages = missing.map((each) => each.package).join(' ');
  const line = `apt-get install -y ${packages}`;
  const reasons = missing.map((each) => `${each.package} (${each.why})`).join(' and ');
  if (process.platform !== 'linux' || !onPath('apt-get')) {
    // Everything but running agents works without; the server says so again, and doctor too.
    say(`Missing: ${reasons}. Install it with your system's package manager.`);
    return;
  }
  if (process.getuid?.() !== 0) {
    say(`Missing: ${reasons}. Run this once, then start again:\n\n  sudo ${line}\n`);
    return;
  }
  say(`Installing ${packages} …`);
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = () =>
    spawnSync('apt-get', ['install', '-y', '-qq', ...packages.split(' ')], {
      stdio: 'ignore',
      env: environment,
    });
  if (install().status === 0) return;
  spawnSync('apt-get', ['update', '-qq'], { stdio: 'ignore', env: environment });
  if (install().status !== 0)
    throw new SetupError(`${packages} could not be installed. Run it by hand to see why:\n\n  ${line}\n`);
}

function build(say) {
  run(pinnedNode, [join(checkout, 'scripts', 'build.ts')], 'The bundles could not be built', say);
}

function run(command, args, failure) {
  const done = spawnSync(command, args, { cwd: checkout, stdio: ['ignore', 2, 2] });
  if (done.status !== 0)
    throw new SetupError(`${failure} (${done.error?.message ?? `exit code ${done.status}`}).`);
}
