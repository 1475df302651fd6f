import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sessionCommand } from '../../src/sandbox/arguments.ts';
import { findDiskPrograms } from '../../src/sandbox/disk.ts';
import { findHost } from '../../src/sandbox/host.ts';
import { childrenOf, processStart } from '../../src/sandbox/processes.ts';
import type { SandboxSpec } from '../../src/sandbox/sandbox.ts';
import { sessionUid } from '../../src/sandbox/uids.ts';
import { createHarness, finish, firstLine, type Harness, isRoot, limits, until } from './harness.ts';

const sized = { ...limits, workspaceBytes: 64 << 20 };
let harness: Harness;
let canMount = false;

beforeAll(async () => {
  harness = await createHarness({ ahead: { count: 1, limits: sized } });
  canMount = (await findDiskPrograms(join(harness.home.open, 'try'), process.env.PATH)) !== undefined;
});
afterAll(async () => {
  await harness.port.close();
  harness.clear();
});
beforeEach(() => until(() => bootstraps().length === 1 && (!canMount || disks().length === 1)));

let count = 0;
/** Another session each time, with the limits that something is made ahead for. */
const session = (changes: Partial<SandboxSpec> = {}) => {
  count++;
  const directory = join(harness.home.open, 'sessions', `ahead-${count}`);
  return { uid: sessionUid(300 + count), directory, limits: sized, ...changes };
};

/** Process ids of those that wait, told by the bundle that they run. */
function bootstraps(worker = process.pid): number[] {
  return childrenOf(worker).filter((pid) => commandOf(pid).includes('bootstrap.cjs'));
}
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}
const diskFolder = () => join(harness.home.open, 'disks');
/** Images that wait, whole. */
const disks = () =>
  existsSync(diskFolder()) ? readdirSync(diskFolder()).filter((name) => name.endsWith('.img')) : [];
const inode = (file: string) => statSync(file).ino;

test('what is ready is given to one session, and made again', async () => {
  const script = 'id -u; ls -A /workspace ~ | wc -w; stat -c %u:%a . ~ | xargs';
  for (;;) {
    const [ready = 0] = bootstraps();
    const [disk = ''] = disks();
    const image = canMount ? inode(join(diskFolder(), disk)) : 0;
    const spec = session();
    const sandbox = await harness.port.open(harness.spec(['/bin/bash', '-c', script], spec));
    expect((await finish(sandbox)).stdout).toBe('1000\n2\n1000:700 1000:700\n');
    await until(() => bootstraps().length === 1 && (!canMount || disks().length === 1));
    // One that is seen may not be ready yet; the test's own time is the bound.
    if (sandbox.pid !== ready) continue;
    if (canMount) expect(inode(join(spec.directory, 'disk.img'))).toBe(image);
    expect(bootstraps()).not.toContain(ready);
    expect(disks()).not.toContain(disk);
    break;
  }
});

test('two sessions that each took one share neither network nor files nor processes', async () => {
  const script = 'echo mine > /workspace/a; echo mine > ~/b; sleep 60 & echo up; read; ls /workspace ~';
  const first = await harness.port.open(harness.spec(['/bin/bash', '-c', script], session()));
  await firstLine(first.stdout);
  await until(() => bootstraps().length === 1);
  const second = await harness.port.open(
    harness.spec(
      ['/bin/bash', '-c', 'ls -A /workspace ~ | grep -c [ab]$; pgrep -c sleep; echo; read'],
      session(),
    ),
  );
  const namespaces = ['net', 'mnt'].map((name) =>
    [process.pid, first.pid, second.pid].map((pid) => readlinkSync(`/proc/${pid}/ns/${name}`)),
  );
  expect(namespaces.map((all) => new Set(all).size)).toEqual(isRoot ? [3, 3] : [3, expect.any(Number)]);
  expect(await firstLine(second.stdout)).toBe('0');
  await Promise.all([first.close(0), second.close(0)]);
});

test('one that was killed while it waited is given to nobody', async () => {
  const [ready = 0] = bootstraps();
  process.kill(ready, 'SIGKILL');
  // Dead, and we were not told yet: nothing of ours runs in between.
  for (const end = Date.now() + 10_000; processStart(ready) !== undefined && Date.now() < end; );
  const { stdout } = await harness.run('echo works', session());
  expect(stdout).toBe('works\n');
});

test('a session with other limits makes its own, under which it then is', async () => {
  for (;;) {
    const [ready = 0] = bootstraps();
    // One that is seen may not be ready yet.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const others = session({ limits: { ...sized, maxOpenFiles: 123, workspaceBytes: 32 << 20 } });
    const other = await harness.port.open(harness.spec(['/bin/bash', '-c', 'ulimit -n'], others));
    expect((await finish(other)).stdout).toBe('123\n');
    expect(other.pid).not.toBe(ready);
    const usual = await harness.port.open(harness.spec(['/bin/true'], session()));
    await finish(usual);
    // It was ready if the next one gets it; the test's own time is the bound.
    if (usual.pid === ready) break;
    await until(() => bootstraps().length === 1);
  }
});

test('the limits hold in one that was made ahead', async () => {
  const { stdout } = await harness.run('ulimit -c; ulimit -n; ulimit -u', session());
  expect(stdout.split('\n').slice(0, 2)).toEqual(['0', String(limits.maxOpenFiles)]);
  const bomb = `exec /usr/bin/python3 -c "
import os, time
n = 0
while n < 500:
    try:
        if os.fork() == 0: time.sleep(60); os._exit(0)
    except OSError: break
    n += 1
print(n, flush=True)
os._exit(0)"`;
  await until(() => bootstraps().length === 1);
  expect(Number((await harness.run(bomb, session())).stdout)).toBeLessThan(limits.maxProcesses);
});

test('when what the rest waits for does not come, nothing is left of what was taken', async () => {
  const [ready = 0] = bootstraps();
  // One that is seen may not be ready yet, and then stays.
  while (processStart(ready) !== undefined) {
    const env = Promise.reject(new Error('the session could not be opened'));
    env.catch(() => {});
    await expect(harness.port.open(harness.spec(['/bin/true'], session({ env })))).rejects.toThrow(
      'the session could not be opened',
    );
  }
  await until(() => bootstraps().length === 1);
  expect(bootstraps()).not.toContain(ready);
});

test('closing leaves nothing, and nothing is made afterwards', async () => {
  const own = await createHarness({ ahead: { count: 2, limits: sized } });
  const before = bootstraps();
  await until(() => bootstraps().length === before.length + 2);
  await own.port.close();
  expect(bootstraps()).toEqual(before);
  const folder = join(own.home.open, 'disks');
  expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([]);
  expect((await own.run('echo still', { limits: sized })).stdout).toBe('still\n');
  expect(bootstraps()).toEqual(before);
  own.clear();
});

test('a worker with nothing left to do ends, whatever it has made ahead', () => {
  const program = `
    import { createHarness, until } from ${JSON.stringify(join(import.meta.dirname, 'harness.ts'))};
    import { childrenOf } from ${JSON.stringify(join(import.meta.dirname, '../../src/sandbox/processes.ts'))};
    const harness = await createHarness({ ahead: { count: 1, limits: ${JSON.stringify(sized)} } });
    await until(() => childrenOf(process.pid).length > 0);
    process.on('exit', () => harness.clear());`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
    timeout: 20_000,
  });
  expect([status, stderr]).toEqual([0, '']);
});

test('kill -9 of the worker ends what it had made ahead, and the next one removes its files', async () => {
  const own = await createHarness();
  const driver = spawn(
    process.execPath,
    [join(import.meta.dirname, 'driver.ts'), own.home.root, 'echo up; sleep 600'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, WORKSPACE_BYTES: String(sized.workspaceBytes), AHEAD: '2' },
    },
  );
  const folder = join(own.home.open, 'disks');
  const there = () => (existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.img')) : []);
  let waiting: number[] = [];
  await until(() => {
    waiting = bootstraps(driver.pid ?? 0);
    return waiting.length === 2 && (!canMount || there().length === 2);
  });
  driver.kill('SIGKILL');
  await until(() => waiting.every((pid) => processStart(pid) === undefined));
  if (canMount) {
    const left = there();
    expect(left.every((name) => name.startsWith(`${driver.pid}.`))).toBe(true);
    const next = spawn(
      process.execPath,
      [join(import.meta.dirname, 'driver.ts'), own.home.root, 'echo up; sleep 600'],
      {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { PATH: process.env.PATH, WORKSPACE_BYTES: String(sized.workspaceBytes), AHEAD: '1' },
      },
    );
    await until(() => there().length > 0 && there().every((name) => name.startsWith(`${next.pid}.`)));
    next.kill('SIGKILL');
    await until(() => processStart(next.pid ?? 0) === undefined);
  }
  own.clear();
});

test('what has lost its worker in the moment in which it changed its user does not start', async () => {
  const { programs } = await findHost(process.env.PATH);
  const as = (worker: number) => {
    const input = { programs, bubblewrap: '/bin/echo', byRoot: isRoot, uid: sessionUid(1), args: ['ran'] };
    const { file, args } = sessionCommand({ ...input, filter: '/dev/null', worker });
    return spawnSync(file, args, { encoding: 'utf8', env: {} });
  };
  expect(as(process.pid)).toMatchObject({ status: 0, stdout: '--seccomp 9 ran\n' });
  expect(as(process.pid + 1)).toMatchObject({ status: 71, stdout: '' });
});

// Who is not root has a user namespace in any case; that is another test.
describe.runIf(isRoot)('as root without the right to make namespaces', () => {
  test('the session’s own uid makes them, and what is limited is told', () => {
    const { stdout, stderr } = spawnSync(
      'setpriv',
      [
        '--bounding-set=-sys_admin',
        '--inh-caps=-sys_admin',
        process.execPath,
        join(import.meta.dirname, 'driver.ts'),
        harness.home.root,
        'cat /proc/self/uid_map; ulimit -n',
      ],
      {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, WORKSPACE_BYTES: String(sized.workspaceBytes), AHEAD: '1' },
      },
    );
    expect(stderr).toBe('');
    expect(stdout.split('\n').slice(1)).toEqual([
      expect.stringMatching(/^\s+1000\s+0\s+1$/),
      String(limits.maxOpenFiles),
      'measured: It ended.',
      '',
    ]);
  });
});
