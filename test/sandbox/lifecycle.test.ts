import { spawn } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { createSandbox } from '../../src/sandbox/create.ts';
import { childrenOf, descendantsOf, processStart } from '../../src/sandbox/processes.ts';
import { placeRuntime } from '../../src/sandbox/runtime.ts';
import { copyHostFiles, writeSystemFiles } from '../../src/sandbox/system-files.ts';
import { openHome } from '../../src/store/home.ts';
import { createHarness, finish, firstLine, type Harness, until } from './harness.ts';

let harness: Harness;
beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness.clear());

const gone = (pids: readonly number[]) => pids.every((pid) => processStart(pid) === undefined);

test('closing ends everything, also what left its session and ignores signals', async () => {
  const sandbox = await harness.port.open(
    harness.spec([
      '/bin/bash',
      '-c',
      "setsid bash -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & (setsid sleep 600 &) ; echo up; trap '' TERM; while :; do sleep 1; done",
    ]),
  );
  await firstLine(sandbox.stdout);
  await until(() => descendantsOf(sandbox.pid).length >= 5);
  const pids = [sandbox.pid, ...descendantsOf(sandbox.pid)];
  const end = await sandbox.close(100);
  expect(end.reason).toBe('It was closed.');
  expect(gone(pids)).toBe(true);
});

test('closing asks first: a program that listens to SIGTERM can finish', async () => {
  const sandbox = await harness.port.open(
    harness.spec([
      '/bin/bash',
      '-c',
      "trap 'echo bye > /workspace/farewell; exit 0' TERM; echo up; while :; do sleep 0.05; done",
    ]),
  );
  await firstLine(sandbox.stdout);
  await sandbox.close(10_000);
  expect((await harness.run('cat /workspace/farewell')).stdout).toBe('bye\n');
});

test('closing twice, at the same time and after the end, answers the same', async () => {
  const sandbox = await harness.port.open(harness.spec(['/bin/sleep', '60']));
  const [first, second] = await Promise.all([sandbox.close(0), sandbox.close()]);
  expect(second).toEqual(first);
  expect(await sandbox.close()).toEqual(first);
  expect(await sandbox.closed).toEqual(first);
});

test('a program that ends by itself is told with its code and its last words', async () => {
  expect(await harness.run('exit 0')).toMatchObject({ code: 0, reason: 'It ended.' });
  expect(await harness.run('printf "first\\n\\033[31mlast\\n" >&2; exit 3')).toMatchObject({
    code: 3,
    reason: 'It ended with code 3: [31mlast.',
  });
  const missing = await harness.port.open(harness.spec(['/no/such/program']));
  expect((await finish(missing)).reason).toMatch(/code 1: .*no\/such\/program/);
});

test('a reader that does not read stops the writer and not the worker', async () => {
  const sandbox = await harness.port.open(harness.spec(['/bin/bash', '-c', 'yes']));
  await until(() => sandbox.stdout.readableLength > 0);
  const held = sandbox.stdout.readableLength;
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(sandbox.stdout.readableLength).toBeLessThanOrEqual(Math.max(held, 1 << 20));
  await sandbox.close(0);
});

test('the listener is served before the command runs', async () => {
  const sandbox = await harness.port.open(
    harness.spec(['/bin/bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/3128; cat <&3'], {
      onListener: async (handle, role) => {
        if (role !== 'proxy') return;
        const server = createServer((socket) => socket.end('from the host\n'));
        await new Promise<void>((resolve) => server.listen(handle, resolve));
        server.unref();
      },
    }),
  );
  expect(sandbox.listeners).toHaveLength(4);
  expect((await finish(sandbox)).stdout).toBe('from the host\n');
});

test('when nobody takes the listener, opening fails and nothing is left', async () => {
  const before = childrenOf(process.pid);
  await expect(
    harness.port.open(
      harness.spec(['/bin/touch', '/workspace/ran'], {
        onListener: async () => {
          throw new Error('the egress process is away');
        },
      }),
    ),
  ).rejects.toMatchObject({
    code: 'start_failed',
    message: expect.stringContaining('the egress process is away'),
  });
  expect(childrenOf(process.pid)).toEqual(before);
  expect((await harness.run('ls /workspace')).stdout).not.toContain('ran');
});

test('a start that takes too long is given up', async () => {
  const port = createBubblewrapSandbox({
    home: harness.home,
    logger: pino({ level: 'silent' }),
    startTimeoutMs: 5_000,
  });
  await expect(
    port.open(harness.spec(['/bin/true'], { onListener: () => new Promise(() => {}) })),
  ).rejects.toThrow('not ready within 5 s');
});

test('kill -9 of the worker ends its sandboxes', async () => {
  const driver = spawn(
    process.execPath,
    [join(import.meta.dirname, 'driver.ts'), harness.home.root, 'setsid sleep 600 & echo up; wait'],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env.PATH } },
  );
  const pid = Number((await firstLine(driver.stdout)).replace('pid ', ''));
  await until(() => descendantsOf(pid).length >= 3);
  const pids = [pid, ...descendantsOf(pid)];
  driver.kill('SIGKILL');
  await until(() => gone(pids));
});

test('so does one in the very moment in which the start is over', async () => {
  // In the place of a bubblewrap that has not seen to it itself yet: says which signal its parent's death is.
  const folder = mkdtempSync(join(harness.home.open, 'asks-'));
  const asks = `#!/usr/bin/python3
import ctypes, sys
if '--version' in sys.argv: print('bubblewrap 0.7.0'); sys.exit()
signal = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(signal))
print(signal.value)
`;
  writeFileSync(join(folder, 'bwrap'), asks, { mode: 0o755 });
  chmodSync(folder, 0o755);
  const port = createBubblewrapSandbox({
    home: harness.home,
    logger: pino({ level: 'silent' }),
    path: folder,
  });
  const { stdout } = await finish(await port.open(harness.spec(['/bin/true'])));
  expect(stdout).toBe('9\n');
});

test('many at once come up and go', async () => {
  const results = await Promise.all(
    Array.from({ length: 6 }, (_, n) =>
      harness.run(`echo ${n} > /workspace/n; cat /workspace/n`, {
        directory: join(harness.home.open, 'sessions', `many-${n}`),
      }),
    ),
  );
  expect(results.map(({ stdout }) => stdout.trim())).toEqual(['0', '1', '2', '3', '4', '5']);
});

test('the check starts one and says what was enforced', async () => {
  expect(await harness.port.check()).toMatchObject({
    ok: true,
    version: expect.stringMatching(/^bubblewrap \d/),
    enforced: { adapter: 'bubblewrap', seccomp: true },
  });
  expect(readdirSync(harness.home.open).filter((name) => name.startsWith('trial'))).toEqual([]);
});

test('without bubblewrap the check gives the line that installs it, and it is seen when it comes', async () => {
  const folder = mkdtempSync(join(harness.home.open, 'path-'));
  const options = { home: harness.home, logger: pino({ level: 'silent' }), path: folder };
  const port = createSandbox('bubblewrap', options);
  const missing = await port.check();
  expect(missing).toMatchObject({
    ok: false,
    message: expect.stringContaining('apt-get install -y bubblewrap'),
  });
  await expect(port.open(harness.spec(['/bin/true']))).rejects.toMatchObject({ code: 'no_isolation' });
  symlinkSync('/usr/bin/bwrap', join(folder, 'bwrap'));
  expect(await port.check()).toMatchObject({ ok: true });
});

test('a bubblewrap that does not work is told with its own words', async () => {
  const folder = mkdtempSync(join(harness.home.open, 'broken-'));
  writeFileSync(
    join(folder, 'bwrap'),
    '#!/bin/sh\n[ "$1" = --version ] && echo "bubblewrap 0.8.0" && exit 0\necho "bwrap: No permissions to create new namespace" >&2\nexit 1\n',
    { mode: 0o755 },
  );
  chmodSync(folder, 0o755);
  const port = createSandbox('bubblewrap', {
    home: harness.home,
    logger: pino({ level: 'silent' }),
    path: folder,
  });
  expect(await port.check()).toMatchObject({
    ok: false,
    message: expect.stringContaining('No permissions to create new namespace'),
  });
});

test('the runtime is placed once, where other uids can execute it, and again when it changes', () => {
  const home = openHome(mkdtempSync(join(harness.home.open, 'home-')));
  const first = placeRuntime(home);
  expect(statSync(first.node).mode & 0o005).toBe(0o005);
  expect(statSync(first.agentFolder).mode & 0o005).toBe(0o005);
  const placed = statSync(first.bootstrap).ino;
  expect(placeRuntime(home)).toEqual(first);
  expect(statSync(first.bootstrap).ino).toBe(placed);
  const changed = join(home.root, 'bundles');
  mkdirSync(changed);
  writeFileSync(join(changed, 'agent.mjs'), '//');
  writeFileSync(join(changed, 'bootstrap.cjs'), '//');
  writeFileSync(join(changed, 'define-agent.mjs'), '//');
  expect(() => placeRuntime(home, { bundleFolder: changed })).toThrow(/scripts\/bundle.ts/);
  writeFileSync(join(changed, 'bundle.json'), JSON.stringify({ contentHash: 'f'.repeat(32) }));
  expect(placeRuntime(home, { bundleFolder: changed }).bootstrap).not.toBe(first.bootstrap);
  rmSync(home.root, { recursive: true });
});

test('what sandboxes share of /etc is copied from the host once, and again when it is another', () => {
  const home = openHome(mkdtempSync(join(harness.home.open, 'etc-')));
  const system = writeSystemFiles(home);
  const copy = join(system.folder, 'ld.so.cache');
  expect(readFileSync(copy).equals(readFileSync('/etc/ld.so.cache'))).toBe(true);
  const { ino } = statSync(copy);
  copyHostFiles(system);
  expect(statSync(copy).ino).toBe(ino);
  writeFileSync(copy, 'of yesterday');
  copyHostFiles(system);
  expect(readFileSync(copy).equals(readFileSync('/etc/ld.so.cache'))).toBe(true);
  expect(statSync(copy).mode & 0o777).toBe(0o644);
  rmSync(home.root, { recursive: true });
});

test('without a sandbox the program runs all the same, with an empty environment and a listener', async () => {
  const lines: string[] = [];
  const logger = pino({}, { write: (line: string) => lines.push(line) });
  const port = createSandbox('none', { home: harness.home, logger });
  expect(lines.join()).toContain('WITHOUT ISOLATION');
  expect(await port.check()).toMatchObject({ ok: false });
  const sandbox = await port.open(
    harness.spec(
      [
        '/bin/bash',
        '-c',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is bash's
        'echo $GREETING $PATH | cut -c1-5; pwd; exec 3<>/dev/tcp/127.0.0.1/${HTTPS_PROXY##*:}; cat <&3',
      ],
      {
        directory: join(harness.home.open, 'sessions', 'none'),
        env: { GREETING: 'hello' },
        onListener: async (handle) => {
          const server = createServer((socket) => socket.end('served\n'));
          await new Promise<void>((resolve) => server.listen(handle, resolve));
          server.unref();
        },
      },
    ),
  );
  const result = await finish(sandbox);
  expect(result.stdout.split('\n')).toEqual([
    'hello',
    join(harness.home.open, 'sessions', 'none', 'workspace'),
    'served',
    '',
  ]);
  expect(sandbox.enforced).toMatchObject({ adapter: 'none', memory: 'none' });
});
