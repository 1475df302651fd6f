import { readdirSync, statSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { procArguments, visibleProc, visibleSysctls } from '../../src/sandbox/proc.ts';
import { createHarness, type Harness } from './harness.ts';

let harness: Harness;
beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness.clear());

test('of all in /proc that is no process, only what is on the list can be read', async () => {
  const { stdout } = await harness.run(`
    cd /proc
    for name in $(ls -A | grep -Ev '^[0-9]+$'); do
      if [ -d $name ]; then [ -n "$(ls -A $name 2>/dev/null)" ] && echo $name
      elif [ -n "$(timeout 2 head -c 1 $name 2>/dev/null | od -An -tx1)" ]; then echo $name
      fi
    done`);
  const readable = stdout.trim().split('\n');
  expect(readable.filter((name) => !visibleProc.includes(name))).toEqual([]);
  expect(readable).toEqual(expect.arrayContaining(['self', 'cpuinfo', 'meminfo', 'stat', 'sys', 'version']));
});

test('of the settings of the kernel, only what is on the list is there, and none can be changed', async () => {
  const { stdout } = await harness.run(`
    cd /proc/sys && find . -type f | cut -c3- | sort
    echo --
    for f in $(find . -type f); do (: >> $f) 2>/dev/null && echo "opens $f"; done
    for f in kernel/core_pattern kernel/modprobe kernel/kptr_restrict user/max_user_namespaces; do
      [ -e $f ] && echo "sees $f"
    done
    (: > /proc/sys/kernel/x) 2>/dev/null && echo makes; exit 0`);
  const [found = '', opened = ''] = stdout.split('--\n');
  const names = found.trim().split('\n');
  expect(names.filter((name) => !visibleSysctls.includes(name))).toEqual([]);
  expect(names).toContain('kernel/random/uuid');
  expect(opened).toBe('');
});

test('a random id is new at each reading, and the values are those of the host', async () => {
  const { stdout } = await harness.run(
    'cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/uuid; cat /proc/sys/kernel/osrelease; uname -r',
  );
  const [first, second, release, own] = stdout.trim().split('\n');
  expect(first).toMatch(/^[0-9a-f-]{36}$/);
  expect(second).not.toBe(first);
  expect(release).toBe(own);
});

test('a file that the kernel brings newly is covered as well', () => {
  const masks = { file: '/m/empty', folder: '/m/none', sys: '/m/sys' };
  const args = procArguments(masks, [
    { name: 'cpuinfo', isFolder: false },
    { name: 'new-secret', isFolder: false },
    { name: 'new-door', isFolder: true },
  ]);
  expect(args).toEqual([
    ...['--ro-bind', '/m/empty', '/proc/new-secret'],
    ...['--ro-bind', '/m/none', '/proc/new-door'],
    ...['--ro-bind', '/m/sys', '/proc/sys'],
    ...['--ro-bind', '/proc/sys/kernel/random/uuid', '/proc/sys/kernel/random/uuid'],
  ]);
  // And the host's list is what it is made from.
  const covered = procArguments(masks).filter((part) => part.startsWith('/proc/'));
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name) || visibleProc.includes(name)) continue;
    if ((statSync(`/proc/${name}`).mode & 0o004) === 0) continue;
    expect(covered).toContain(`/proc/${name}`);
  }
});

test('programs that look there still work: processors, memory, processes', async () => {
  const { stdout, stderr } = await harness.run(`
    nproc; free -m | head -1; ps -o comm= -p $$
    node -e 'const os = require("os"); console.log(os.cpus().length > 0, os.totalmem() > 0, os.uptime() > 0)'
    /usr/bin/python3 -c 'import os, multiprocessing as m; print(os.cpu_count() > 0, m.cpu_count() > 0)'`);
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^\d+\n.*total.*\nbash\ntrue true true\nTrue True\n$/);
});
