import { spawnSync } from 'node:child_process';
import { accessSync, chownSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { bundle } from '../../scripts/bundle.ts';
import { type CgroupPlace, findCgroupPlaces } from '../../src/sandbox/cgroup-places.ts';
import { endReason } from '../../src/sandbox/end-reason.ts';
import { featuresOf, usernsAdvice } from '../../src/sandbox/host.ts';
import { processStart } from '../../src/sandbox/processes.ts';
import { sessionUid } from '../../src/sandbox/uids.ts';
import { isRoot } from './harness.ts';

const hybrid = [
  '30 29 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory',
  '31 29 0:27 / /sys/fs/cgroup/cpu,pids rw,relatime shared:9 - cgroup cgroup rw,cpu,pids',
  '32 29 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw',
].join('\n');
const unified = '30 29 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate';
const all = () => true;

test('with version 1 the groups go below our own, so that our limits hold for them', () => {
  const own = '4:memory:/outer/ours\n8:cpu,pids:/\n0::/\n';
  expect(findCgroupPlaces(hybrid, own, all)).toEqual({
    memory: { version: 1, folder: '/sys/fs/cgroup/memory/outer/ours' },
    pids: { version: 1, folder: '/sys/fs/cgroup/cpu,pids' },
    cpu: { version: 1, folder: '/sys/fs/cgroup/cpu,pids' },
  });
});

test('with version 2 the nearest ancestor that gives the controllers is taken', () => {
  const asked: string[] = [];
  const takes = ({ folder }: CgroupPlace) => asked.push(folder) > 0 && folder.endsWith('app.slice');
  const own = '0::/user.slice/app.slice/tagalong.scope\n';
  const place = { version: 2, folder: '/sys/fs/cgroup/user.slice/app.slice' };
  expect(findCgroupPlaces(unified, own, takes)).toEqual({ memory: place, pids: place, cpu: place });
  expect(asked[0]).toBe('/sys/fs/cgroup/user.slice/app.slice/tagalong.scope');
});

test('with version 2 processors are limited in the group of the memory, or not at all', () => {
  const own = '0::/user.slice/app.slice\n';
  const place = { version: 2, folder: '/sys/fs/cgroup/user.slice/app.slice' };
  const without: [CgroupPlace, string][] = [];
  const takes = (asked: CgroupPlace, controller: string) => {
    without.push([asked, controller]);
    return controller !== 'cpu';
  };
  expect(findCgroupPlaces(unified, own, takes)).toEqual({ memory: place, pids: place });
  expect(without.filter(([, controller]) => controller === 'cpu')).toEqual([[place, 'cpu']]);
  const none = (_: CgroupPlace, controller: string) => controller === 'cpu';
  expect(findCgroupPlaces(unified, own, none)).toEqual({});
});

test('in a container whose mount shows a part only, paths are taken from there', () => {
  const mounts = '30 29 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory';
  expect(findCgroupPlaces(mounts, '4:memory:/docker/abc/x\n', all)).toEqual({
    memory: { version: 1, folder: '/sys/fs/cgroup/memory/x' },
  });
  expect(findCgroupPlaces(mounts, '4:memory:/elsewhere\n', all)).toEqual({});
});

test('without cgroups, or with unreadable ones, there is no place', () => {
  expect(findCgroupPlaces('', '', all)).toEqual({});
  expect(findCgroupPlaces('nonsense - cgroup\n\n - ', 'x:y', all)).toEqual({});
  expect(findCgroupPlaces(hybrid, '', () => false)).toEqual({});
});

test('what bubblewrap can do is known by its version', () => {
  expect(featuresOf('0.6.1')).toEqual({ tmpfsSize: false, disableUserns: false });
  expect(featuresOf('0.7.0')).toEqual({ tmpfsSize: true, disableUserns: false });
  expect(featuresOf('0.12.0')).toEqual({ tmpfsSize: true, disableUserns: true });
  expect(featuresOf('1.0')).toEqual({ tmpfsSize: true, disableUserns: true });
});

test('when user namespaces are off the switch to set is named', () => {
  const only = (file: string, value: string) => usernsAdvice((asked) => (asked === file ? value : undefined));
  expect(only('/proc/sys/kernel/unprivileged_userns_clone', '0')).toContain(
    'kernel.unprivileged_userns_clone=1',
  );
  expect(only('/proc/sys/user/max_user_namespaces', '0')).toContain('user.max_user_namespaces');
  expect(only('/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1')).toContain('apparmor');
  expect(only('/proc/sys/user/max_user_namespaces', '1000')).toBeUndefined();
});

test('session uids are a range of their own, and for root only', () => {
  expect(sessionUid(0, 0)).toBe(200_000);
  expect(sessionUid(999_999, 0)).toBe(1_199_999);
  expect(sessionUid(5, 1000)).toBeUndefined();
  for (const wrong of [-1, 1.5, 1_000_000, Number.NaN])
    expect(() => sessionUid(wrong, 0)).toThrow(RangeError);
});

test('the end is told in words, whatever it was', () => {
  const facts = {
    code: null,
    signal: null,
    closing: false,
    outOfMemory: false,
    memoryBytes: 512 << 20,
    stderr: '',
  };
  expect(endReason({ ...facts, code: 137, outOfMemory: true })).toBe(
    'It ran out of memory: it may use 512 MiB.',
  );
  expect(endReason({ ...facts, code: 0, outOfMemory: true })).toBe('It ended.');
  expect(endReason({ ...facts, signal: 'SIGKILL' })).toBe('It was killed.');
  expect(endReason({ ...facts, signal: 'SIGTRAP' })).toBe('It was ended by SIGTRAP.');
  expect(endReason({ ...facts, code: 1, stderr: `a\n\u0007${'b'.repeat(5000)}\n\n` })).toMatch(
    /^It ended with code 1: b{199}…\.$/,
  );
  expect(endReason({ ...facts, code: 137, closing: true })).toBe('It was closed.');
});

test('a process that is gone has no start, and neither has a zombie', () => {
  expect(processStart(process.pid)).toMatch(/^\d+$/);
  expect(processStart(2 ** 22 + 1)).toBeUndefined();
});

// Root becomes an ordinary user here; an ordinary user runs all the other tests as just that.
test.runIf(isRoot)(
  'without root it runs under one uid, limited by rlimits and by measuring',
  async (context) => {
    await bundle();
    const uid = 65_533;
    const driver = join(import.meta.dirname, 'driver.ts');
    const environment: Record<string, string> = { PATH: process.env.PATH ?? '' };
    const asOther = (...command: string[]) =>
      spawnSync('setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...command], {
        env: environment,
        encoding: 'utf8',
      });
    const readable = asOther(
      'cat',
      driver,
      join(dirname(dirname(import.meta.dirname)), 'dist', 'bundle.json'),
    );
    if (readable.status !== 0) context.skip('the checkout is closed to others');
    accessSync(process.execPath, constants.X_OK);
    const root = mkdtempSync(join(tmpdir(), 'tagalong-plain-'));
    try {
      chownSync(root, uid, uid);
      const script = 'id -u; ulimit -u; cat /proc/self/uid_map; : > /proc/sys/kernel/core_pattern';
      const { stdout, stderr } = asOther(process.execPath, driver, root, script);
      expect(stderr).toBe('');
      expect(stdout.trim().split('\n').slice(1)).toEqual([
        '1000',
        '200',
        expect.stringMatching(/^\s+1000\s+0\s+1$/),
      ]);
      environment.WORKSPACE_BYTES = String(64 << 20);
      const filled = asOther(process.execPath, driver, root, 'head -c 100M /dev/zero > big; sleep 60');
      expect(filled.stderr).toBe('');
      expect(filled.stdout.trim().split('\n').at(-1)).toBe(
        'measured: Its workspace is full: it may hold 64 MiB.',
      );
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
);
