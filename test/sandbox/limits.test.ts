import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseCgroupMounts, parseOwnCgroups } from '../../src/sandbox/cgroup-places.ts';
import { openCgroups } from '../../src/sandbox/cgroups.ts';
import { hardLimit, rlimitArguments } from '../../src/sandbox/limits.ts';
import { processStart } from '../../src/sandbox/processes.ts';
import { quotaSettings } from '../../src/sandbox/processor-quota.ts';
import { createHarness, firstLine, type Harness, limits } from './harness.ts';

let harness: Harness;
beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness.clear());

const hog = 'exec python3 -c "b = []\nwhile True: b.append(bytearray(8 << 20))"';

test('a program that takes too much memory is ended, and the reason says so in words', async () => {
  const sandbox = await harness.port.open(
    harness.spec(['/bin/bash', '-c', hog], { limits: { ...limits, memoryBytes: 96 << 20 } }),
  );
  sandbox.stdout.resume();
  const end = await sandbox.closed;
  expect(end.code).not.toBe(0);
  if (sandbox.enforced.memory.startsWith('cgroup')) {
    expect(end.reason).toBe('It ran out of memory: it may use 96 MiB.');
  } else {
    expect(end.reason).toMatch(/MemoryError/);
  }
});

test('when only a child takes too much, the rest goes on', async () => {
  const { stdout, code } = await harness.run(
    `bash -c '${hog.replaceAll("'", '')}' 2>/dev/null; echo "went on"`,
    {
      limits: { ...limits, memoryBytes: 96 << 20 },
    },
  );
  expect(stdout).toContain('went on');
  expect(code).toBe(0);
});

test('memory of temporary files counts', async () => {
  const { stdout } = await harness.run(
    'head -c 200M /dev/zero > /tmp/big 2>/dev/null && echo whole || echo stopped',
    {
      limits: { ...limits, memoryBytes: 96 << 20 },
    },
  );
  expect(stdout).not.toContain('whole');
});

test('a fork bomb gets no further than its limit', async () => {
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
  const { stdout } = await harness.run(bomb, { limits: { ...limits, maxProcesses: 60 } });
  expect(Number(stdout.trim())).toBeGreaterThan(10);
  expect(Number(stdout.trim())).toBeLessThan(60);
});

const spinning = `import os, sys, time
start = time.monotonic()
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        while time.monotonic() - start < 2: pass
        os._exit(0)
    children.append(child)
for child in children: os.waitpid(child, 0)
times = os.times()
print((times.children_user + times.children_system) / (time.monotonic() - start), flush=True)
sys.stdin.read()`;

test('programs that spin get no more processor time together than their share, by the count of their group', async (context) => {
  const processors = 0.2;
  const sandbox = await harness.port.open(
    harness.spec(['/usr/bin/python3', '-c', spinning], { limits: { ...limits, processors } }),
  );
  if (sandbox.enforced.processors === 'none') {
    await sandbox.close(0);
    return context.skip('there are no groups here that limit processor time');
  }
  const used = Number(await firstLine(sandbox.stdout));
  // At each end of the measurement is a part of a period, and each processor takes its part of a quota in slices.
  expect(used).toBeLessThan(processors * 1.5);
  expect(used).toBeGreaterThan(0);
  const folder = groupFolder(sandbox.pid, 'cpu');
  const counted = Object.fromEntries(
    readFileSync(join(folder, 'cpu.stat'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([name = '', value]) => [name, Number(value)]),
  );
  expect(counted.nr_throttled).toBeGreaterThan(0);
  await sandbox.close(0);
  expect(existsSync(folder)).toBe(false);
});

test('the share is written in the words of either version of cgroups', () => {
  expect(quotaSettings(1, 1.5)).toEqual([
    ['cpu.cfs_period_us', '100000'],
    ['cpu.cfs_quota_us', '150000'],
  ]);
  expect(quotaSettings(2, 0.75)).toEqual([['cpu.max', '75000 100000']]);
  expect(quotaSettings(2, 0.001)).toEqual([['cpu.max', '1000 100000']]);
});

test('without a limit on its processor time, none is told', async () => {
  const { processors: _, ...unlimited } = limits;
  const sandbox = await harness.port.open(harness.spec(['/bin/sleep', '60'], { limits: unlimited }));
  expect(sandbox.enforced.processors).toBe('none');
  await sandbox.close(0);
});

test('files cannot grow beyond their limit, nor can the limits be raised', async () => {
  const { stdout } = await harness.run(
    'head -c 3M /dev/zero > /workspace/big; stat -c %s /workspace/big; ulimit -f unlimited 2>/dev/null && echo raised; ulimit -c; ulimit -n',
    { limits: { ...limits, maxFileBytes: 1 << 20, maxOpenFiles: 256 } },
  );
  expect(stdout.trim().split('\n')).toEqual(['1048576', '0', '256']);
});

test('what cgroups do not enforce, rlimits do, never above the present limits', () => {
  const present =
    'Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 500                  files     \n';
  expect(hardLimit(present, 'Max open files')).toBe(500);
  expect(hardLimit(present, 'Max data size')).toBe(Number.POSITIVE_INFINITY);
  expect(rlimitArguments(limits, { memory: true, processes: true }, present)).toEqual([
    '--core=1',
    '--nofile=500',
    `--fsize=${limits.maxFileBytes}`,
    `--data=${limits.memoryBytes + 640 * 1024 * 1024}`,
    '--nproc=200',
  ]);
});

test('the groups of a sandbox are gone when it is', async () => {
  const sandbox = await harness.port.open(harness.spec(['/bin/sleep', '60']));
  const during = groupsOf(ownPrefix);
  await sandbox.close(0);
  expect(groupsOf(ownPrefix)).toEqual([]);
  const { memory, processors } = sandbox.enforced;
  if (memory === 'cgroup1') expect(during.length).toBe(processors === 'cgroup1' ? 3 : 2);
});

test('groups of a run that was killed are removed at the next start, those of a live one are not', async () => {
  const live = await harness.port.open(harness.spec(['/bin/sleep', '60']));
  const driver = spawn(
    process.execPath,
    [join(import.meta.dirname, 'driver.ts'), harness.home.root, 'echo up; sleep 60'],
    { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env.PATH } },
  );
  await firstLine(driver.stdout);
  const dead = `${driver.pid}.${processStart(driver.pid ?? 0)}.`;
  const exited = new Promise((resolve) => driver.once('exit', resolve));
  driver.kill('SIGKILL');
  await exited;
  await openCgroups().sweep();
  expect(groupsOf(dead)).toEqual([]);
  if (live.enforced.memory.startsWith('cgroup')) expect(groupsOf(ownPrefix)).not.toEqual([]);
  expect(processStart(live.pid)).toBeDefined();
  await live.close(0);
});

const ownPrefix = `${process.pid}.${processStart(process.pid)}.`;

/** Where the group of a process is seen: its own of the controller, or the one for all of version 2. */
function groupFolder(pid: number, controller: string): string {
  const own = parseOwnCgroups(readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
  const mounts = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  const mount =
    mounts.find(({ controllers }) => controllers.includes(controller)) ??
    mounts.find(({ version }) => version === 2);
  return join(mount?.mountPoint ?? '', own.get(controller) ?? own.get('') ?? '');
}

function groupsOf(prefix: string): string[] {
  const names = ['memory', 'pids', 'cpu', 'cpu,cpuacct', 'system.slice'];
  // Where one is a link to another, it is the same group.
  const roots = new Set(
    names
      .map((name) => `/sys/fs/cgroup/${name}`)
      .filter(existsSync)
      .map((root) => realpathSync(root)),
  );
  return [...roots].flatMap((root) => groupsBelow(root, prefix, 5));
}

function groupsBelow(folder: string, prefix: string, depth: number): string[] {
  if (depth === 0 || !existsSync(folder)) return [];
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
  return names.flatMap((name) =>
    name.startsWith(prefix) ? [`${folder}/${name}`] : groupsBelow(`${folder}/${name}`, prefix, depth - 1),
  );
}
