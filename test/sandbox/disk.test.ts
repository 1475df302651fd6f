import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findDiskPrograms, prepareDisk } from '../../src/sandbox/disk.ts';
import { fullReason, measureDisk } from '../../src/sandbox/disk-usage.ts';
import { findHost } from '../../src/sandbox/host.ts';
import type { SandboxSpec } from '../../src/sandbox/sandbox.ts';
import { createHarness, finish, firstLine, type Harness, limits, until } from './harness.ts';

const MiB = 1024 * 1024;
const small = { ...limits, workspaceBytes: 64 * MiB };
let harness: Harness;
/** Where disks can be mounted, which is as root with loop devices; elsewhere the size is measured. */
let canMount = false;

beforeAll(async () => {
  harness = await createHarness();
  canMount = (await findDiskPrograms(join(harness.home.open, 'try'), process.env.PATH)) !== undefined;
});
afterAll(() => harness.clear());

let count = 0;
const session = (changes: Partial<SandboxSpec> = {}): Partial<SandboxSpec> => ({
  directory: join(harness.home.open, 'sessions', `disk-${++count}`),
  limits: small,
  ...changes,
});

test('what cannot be mounted is measured, and which of the two it was is told', async () => {
  const sandbox = await harness.port.open(harness.spec(['/bin/true'], session()));
  await finish(sandbox);
  expect(sandbox.enforced).toMatchObject({ workspace: canMount ? 'image' : 'measured', temporary: 'sized' });
  const without = await harness.port.open(harness.spec(['/bin/true']));
  await finish(without);
  expect(without.enforced.workspace).toBe('none');
});

// Only root can mount an image; what holds for others is tested without it above.
describe.runIf(process.getuid?.() === 0)('as root', () => {
  test('the workspace is a disk of its own, which nobody else sees mounted', async (context) => {
    if (!canMount) context.skip('no image can be mounted here');
    const spec = session();
    const sandbox = await harness.port.open(
      harness.spec(
        ['/bin/bash', '-c', 'echo kept > /workspace/a; echo mine > ~/b; stat -c %a . ~ | xargs; sleep 60'],
        spec,
      ),
    );
    expect(await firstLine(sandbox.stdout)).toBe('700 700');
    const directory = spec.directory ?? '';
    expect(readdirSync(join(directory, 'disk'))).toEqual([]);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(directory);
    expect(loopsOf(directory)).toHaveLength(1);
    await sandbox.close(0);
    await until(() => loopsOf(directory).length === 0);
    const again = await harness.run(
      'cat /workspace/a ~/b; grep -c " /workspace .*nosuid,nodev" /proc/self/mountinfo',
      spec,
    );
    expect(again.stdout).toBe('kept\nmine\n1\n');
    // It grows with what is in it.
    const image = statSync(join(directory, 'disk.img'));
    expect(image.size).toBe(64 * MiB);
    expect(image.blocks * 512).toBeLessThan(8 * MiB);
    expect([image.uid, image.mode & 0o777]).toEqual([0, 0o600]);
  });

  test('a disk that is full is full for its session only, and room comes back by deleting', async (context) => {
    if (!canMount) context.skip('no image can be mounted here');
    const spec = session();
    const full = await harness.run(
      'head -c 200M /dev/zero > /workspace/big; echo; echo x > ~/more; stat -c %s /workspace/big',
      spec,
    );
    expect(full.stderr).toContain('No space left on device');
    expect(Number(full.stdout.trim())).toBeLessThan(64 * MiB);
    const onHost = () => statSync(join(spec.directory ?? '', 'disk.img')).blocks * 512;
    await until(() => onHost() > 40 * MiB);
    const sandbox = await harness.port.open(
      harness.spec(['/bin/bash', '-c', 'rm big; echo room > ~/more; cat ~/more; sync; sleep 60'], spec),
    );
    expect(await firstLine(sandbox.stdout)).toBe('room');
    // What was deleted goes back to the host.
    await until(() => onHost() < 8 * MiB);
    await sandbox.close(0);
  });

  test('so many empty files that no more can be made are its own trouble', async (context) => {
    if (!canMount) context.skip('no image can be mounted here');
    const { stdout } = await harness.run(
      `/usr/bin/python3 -c '
import os
n = 0
try:
    while True: os.close(os.open("/workspace/%d" % n, os.O_CREAT)); n += 1
except OSError as error: print(n, error.strerror)'`,
      session(),
    );
    const [made, ...why] = stdout.trim().split(' ');
    expect(why.join(' ')).toBe('No space left on device');
    expect(Number(made)).toBeLessThan(20_000);
  });

  test('after kill -9 of the worker no mount and no loop device is left, and what was written is there', async (context) => {
    if (!canMount) context.skip('no image can be mounted here');
    const directory = join(harness.home.open, 'sessions', 'driver');
    const driver = spawn(
      process.execPath,
      [join(import.meta.dirname, 'driver.ts'), harness.home.root, 'echo w > w; sync; echo up; sleep 600'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { PATH: process.env.PATH, WORKSPACE_BYTES: String(64 * MiB) },
      },
    );
    let output = '';
    driver.stdout.on('data', (chunk) => {
      output += chunk;
    });
    await until(() => output.includes('up'));
    expect(loopsOf(directory)).toHaveLength(1);
    driver.kill('SIGKILL');
    await until(() => loopsOf(directory).length === 0);
    const { stdout } = await harness.run('cat w', { directory, uid: 200_007, limits: small });
    expect(stdout).toBe('w\n');
  });

  test('two sandboxes of one session at once do not spoil its disk', async (context) => {
    if (!canMount) context.skip('no image can be mounted here');
    const spec = session();
    const first = await harness.port.open(
      harness.spec(['/bin/bash', '-c', 'echo one > 1; echo up; read; cat 2'], spec),
    );
    await firstLine(first.stdout);
    const second = await harness.run('cat 1; echo two > 2', spec);
    expect(second.stdout).toBe('one\n');
    expect(loopsOf(spec.directory ?? '')).toHaveLength(1);
    await first.close();
    expect((await harness.run('cat 1 2', spec)).stdout).toBe('one\ntwo\n');
    await until(() => loopsOf(spec.directory ?? '').length === 0);
    execFileSync('e2fsck', ['-fn', join(spec.directory ?? '', 'disk.img')], { stdio: 'ignore' });
  });

  test('a disk that was half made when its maker was killed is made anew', async (context) => {
    if (!canMount) context.skip('no image can be mounted here');
    const spec = session();
    mkdirSync(spec.directory ?? '', { recursive: true });
    writeFileSync(join(spec.directory ?? '', 'disk.img.unfinished'), 'half');
    mkdirSync(join(spec.directory ?? '', 'disk.img.content'));
    expect((await harness.run('echo works', spec)).stdout).toBe('works\n');
    expect(readdirSync(spec.directory ?? '').filter((name) => name.startsWith('disk.img'))).toEqual([
      'disk.img',
    ]);
  });

  test('a disk that is spoiled is told in words and left as it is', async (context) => {
    if (!canMount) context.skip('no image can be mounted here');
    const spec = session();
    await harness.run('echo kept > a', spec);
    const file = join(spec.directory ?? '', 'disk.img');
    await until(() => loopsOf(spec.directory ?? '').length === 0);
    const spoiled = Buffer.alloc(64 * MiB, 7);
    writeFileSync(file, spoiled);
    await expect(harness.port.open(harness.spec(['/bin/true'], spec))).rejects.toThrow(
      /disk\.img cannot be mounted\. Look at it with e2fsck/,
    );
    expect(readFileSync(file).equals(spoiled)).toBe(true);
  });

  test('a session that began with plain folders keeps them', async () => {
    const spec = session();
    await harness.run('echo old > /workspace/a', { ...spec, limits });
    const sandbox = await harness.port.open(harness.spec(['/bin/cat', '/workspace/a'], spec));
    expect((await finish(sandbox)).stdout).toBe('old\n');
    expect(sandbox.enforced.workspace).toBe('measured');
  });

  test('a disk that cannot be mounted where we are is refused in words, and never left aside', async () => {
    const directory = join(harness.home.open, 'sessions', 'moved');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'disk.img'), '');
    const input = { directory, uid: undefined, bytes: small.workspaceBytes, programs: undefined };
    await expect(prepareDisk(input)).rejects.toThrow(
      /holds the session's files, and this machine or user cannot/,
    );
    expect(existsSync(join(directory, 'workspace'))).toBe(false);
  });
});

describe('where it is measured', () => {
  const measured = async (script: string, spec: Partial<SandboxSpec>) => {
    // Folders that are there already make it a plain session.
    await harness.run('true', { ...spec, limits });
    return harness.run(script, spec);
  };

  test('a workspace that has become too big ends the sandbox with the reason, and its session stays usable', async () => {
    const spec = session();
    const { reason } = await measured('head -c 100M /dev/zero > /workspace/big; sleep 60', spec);
    expect(reason).toBe('Its workspace is full: it may hold 64 MiB.');
    // What is too much already is not held against it, so that it can be deleted.
    const next = await harness.run('sleep 4; rm /workspace/big; echo deleted', spec);
    expect([next.stdout, next.reason]).toEqual(['deleted\n', 'It ended.']);
  });

  test('so do too many files', async () => {
    const { reason } = await measured('cd ~; touch $(seq 5000); sleep 60', session());
    expect(reason).toBe('Its workspace is full: it may hold 4096 files and folders.');
  });

  test('a closed folder hides nothing, a hole weighs nothing, and no link is followed', async () => {
    const spec = session();
    await measured(
      `mkdir closed; head -c 5M /dev/urandom > closed/x; chmod 0 closed
       truncate -s 900M hole; ln -s /usr usr; ln -s / root`,
      spec,
    );
    const { programs } = await findHost(process.env.PATH);
    const { uid, directory = '' } = harness.spec([], spec);
    const usage = await measureDisk({
      programs,
      uid,
      folders: [join(directory, 'workspace'), join(directory, 'home')],
    });
    expect(usage?.bytes).toBeGreaterThan(5 * MiB);
    expect(usage?.bytes).toBeLessThan(6 * MiB);
    expect(usage?.entries).toBe(7);
  });

  test('what was there at the start is the least that it may hold', () => {
    const none = { bytes: 0, entries: 0 };
    expect(fullReason({ bytes: 64 * MiB, entries: 1 }, none, 64 * MiB)).toBeUndefined();
    expect(fullReason({ bytes: 64 * MiB + 1, entries: 1 }, none, 64 * MiB)).toMatch(/64 MiB/);
    const much = { bytes: 100 * MiB, entries: 9_000 };
    expect(fullReason(much, much, 64 * MiB)).toBeUndefined();
    expect(fullReason({ ...much, bytes: 100 * MiB + 1 }, much, 64 * MiB)).toMatch(/64 MiB/);
    expect(fullReason({ ...much, entries: 9_001 }, much, 64 * MiB)).toMatch(/4096 files/);
  });
});

/** Loop devices over a file in this folder. */
function loopsOf(directory: string): string[] {
  return readdirSync('/sys/block').filter((name) => {
    try {
      return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').startsWith(`${directory}/`);
    } catch {
      return false;
    }
  });
}
