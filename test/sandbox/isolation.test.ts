import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { descendantsOf } from '../../src/sandbox/processes.ts';
import { sessionUid } from '../../src/sandbox/uids.ts';
import { createHarness, firstLine, type Harness, isRoot } from './harness.ts';

const canary = 'canary-5f0e6a51c2d94f0c';
let harness: Harness;

beforeAll(async () => {
  process.env.TAGALONG_TEST_CANARY = canary;
  harness = await createHarness();
});
afterAll(() => {
  delete process.env.TAGALONG_TEST_CANARY;
  harness.clear();
});

test('the kernel settings of the host cannot be opened for writing', async () => {
  const { stdout } = await harness.run(`
    for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /proc/sys/vm/drop_caches; do
      if (: > $f) 2>/dev/null; then echo "open $f"; fi
    done
    head -c 1 /proc/kcore >/dev/null 2>&1 && echo "open kcore"
    echo done`);
  expect(stdout).toBe('done\n');
});

test('no descriptor beyond the three pipes is inherited, not even one that our own parent left open', async () => {
  const leaked = openSync('/dev/null', 'r');
  let child: ChildProcess | undefined;
  try {
    const stdio: ('ignore' | 'pipe' | number)[] = Array(40).fill('ignore');
    stdio[1] = 'pipe';
    // Far above the others: libuv marks inherited descriptors up to the first gap only.
    stdio[39] = leaked;
    child = spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'driver.ts'),
        harness.home.root,
        'exec ls -1 /proc/self/fd | sort -n | tr "\\n" " "; sleep 60',
      ],
      { stdio, env: { PATH: process.env.PATH } },
    );
    if (!child.stdout) throw new Error('no pipe');
    let output = '';
    for await (const chunk of child.stdout) {
      output += chunk;
      if (/\d \n?$/.test(output)) break;
    }
    // 3 is the folder that ls itself reads.
    expect(output.split('\n').at(-1)?.trim()).toBe('0 1 2 3');
  } finally {
    child?.kill('SIGKILL');
    closeSync(leaked);
  }
});

test('nothing of the environment of the worker is seen inside, in no process', async () => {
  const { stdout } = await harness.run(
    'cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr "\\0" "\\n"; env',
  );
  expect(stdout).not.toContain(canary);
  expect(stdout).toContain('HOME=/home/agent');
});

test('the first process has an empty environment', async () => {
  const { stdout } = await harness.run('wc -c < /proc/1/environ');
  expect(stdout.trim()).toBe('0');
});

test('the environment holds what was asked for, the proxy, and no way around it', async () => {
  const { stdout } = await harness.run('env', {
    env: { GREETING: 'hello', HTTPS_PROXY: 'http://elsewhere', NO_PROXY: '*' },
  });
  const env = Object.fromEntries(stdout.split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)));
  expect(env).toMatchObject({
    GREETING: 'hello',
    HTTPS_PROXY: 'http://127.0.0.1:3128',
    http_proxy: 'http://127.0.0.1:3128',
    NO_PROXY: '',
    NODE_USE_ENV_PROXY: '1',
    SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
  });
});

test('a program may be told to reach the loopback of its sandbox directly, and nothing else', async () => {
  const names = '127.0.0.1,localhost,::1';
  const { stdout } = await harness.run('echo $NO_PROXY $no_proxy', { env: { NO_PROXY: names } });
  expect(stdout).toBe(`${names} ${names}\n`);
  const more = await harness.run('echo [$NO_PROXY]', { env: { NO_PROXY: `${names},example.com` } });
  expect(more.stdout).toBe('[]\n');
});

test('settings of the program are there to read and not to change, and those of an earlier start are gone', async () => {
  const files = { 'a.json': '{"a":1}', 'AGENTS.md': 'Be kind.' };
  const script =
    'cat /opt/tagalong/settings/*; echo x 2>/dev/null > /opt/tagalong/settings/a.json || echo read-only';
  expect((await harness.run(script, { files })).stdout).toBe('Be kind.{"a":1}read-only\n');
});

test('a port on the loopback of the host is not reachable', async () => {
  const server = createServer((socket) => socket.end('host\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  try {
    const { stdout } = await harness.run(
      `(exec 3<>/dev/tcp/127.0.0.1/${port} && cat <&3) 2>/dev/null && echo reached || echo refused`,
    );
    expect(stdout).toBe('refused\n');
  } finally {
    server.close();
  }
});

test('the network has a loopback and nothing else', async () => {
  const { stdout } = await harness.run(
    "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; cat /proc/net/route | wc -l",
  );
  expect(stdout.trim().split('\n')).toEqual(['lo', expect.stringMatching(/^[01]$/)]);
});

test('the system is read-only and shows no /sys, no accounts and no folders of the host', async () => {
  const { stdout } = await harness.run(`
    for p in /sys /root /var/lib /run /etc/shadow /etc/ssh /etc/hostname; do [ -e $p ] && echo "sees $p"; done
    for p in /x /etc/x /usr/x /dev/x /opt/tagalong/x /opt/tagalong/node/x /etc/ssl/certs/x; do
      (: > $p) 2>/dev/null && echo "writes $p"
    done
    for p in /workspace/x /home/agent/x /tmp/x /var/tmp/x /dev/shm/x; do : > $p || echo "cannot write $p"; done
    id -un; hostname; echo done`);
  expect(stdout).toBe('agent\nsandbox\ndone\n');
});

test('it has no capability and can get none', async () => {
  const { stdout } = await harness.run(
    'grep -E "^(CapPrm|CapEff|CapBnd|NoNewPrivs)" /proc/self/status; unshare --user true 2>/dev/null && echo nested; mount -t tmpfs x /tmp 2>/dev/null && echo mounted; ip link add d type dummy 2>/dev/null && echo net; exit 0',
  );
  expect(stdout.replace(/\t/g, ' ')).toBe(
    'CapPrm: 0000000000000000\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\n',
  );
});

test('nothing is mounted below what the agent can write', async () => {
  const { stdout } = await harness.run('cut -d" " -f5 /proc/self/mountinfo');
  const points = stdout.trim().split('\n');
  expect(points).toContain('/workspace');
  expect(points.filter((point) => /^\/(workspace|home\/agent|tmp|var\/tmp)\//.test(point))).toEqual([]);
});

test('workspace and home outlive a sandbox, temporary files do not', async () => {
  await harness.run('echo kept > /workspace/a; echo kept > ~/b; echo gone > /tmp/c');
  const { stdout } = await harness.run('cat /workspace/a ~/b; ls /tmp');
  expect(stdout).toBe('kept\nkept\n');
});

// Only root can give sessions uids of their own; this holds for the next two as well.
test.runIf(isRoot)('every process of it has the uid of the session on the host', async () => {
  const sandbox = await harness.port.open(harness.spec(['/bin/bash', '-c', 'sleep 60 & echo up; wait']));
  await firstLine(sandbox.stdout);
  const pids = [sandbox.pid, ...descendantsOf(sandbox.pid)];
  const uids = pids.map((pid) =>
    /^Uid:\t(\d+)\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.slice(1),
  );
  await sandbox.close(0);
  expect(pids.length).toBeGreaterThanOrEqual(3);
  const uid = String(sessionUid(1));
  expect(new Set(uids.flat())).toEqual(new Set([uid]));
});

test.runIf(isRoot)('another session cannot enter the folder of this one', async () => {
  await harness.run('echo secret > /workspace/secret; chmod 777 /workspace /workspace/secret');
  const { directory } = harness.spec([]);
  const read = (uid: number | undefined) =>
    spawnSync('setpriv', [
      `--reuid=${uid}`,
      `--regid=${uid}`,
      '--clear-groups',
      'cat',
      join(directory, 'workspace/secret'),
    ]);
  expect(read(sessionUid(1)).stdout.toString()).toBe('secret\n');
  expect(read(sessionUid(2)).status).not.toBe(0);
  // Neither through the sandbox of another session, should it name the path.
  const other = await harness.run(`cat ${join(directory, 'workspace/secret')} || echo refused`, {
    uid: sessionUid(2),
    directory: join(harness.home.open, 'sessions', 'two'),
  });
  expect(other.stdout).toBe('refused\n');
});

// What is refused can be asked for by root alone.
test.runIf(isRoot)('it is refused to start as root of the host', async () => {
  for (const uid of [undefined, 0, -1]) {
    await expect(harness.port.open(harness.spec(['/bin/true'], { uid }))).rejects.toMatchObject({
      code: 'no_isolation',
    });
  }
});

test('a link in the place of the workspace is refused and not followed', async () => {
  const directory = join(harness.home.open, 'sessions', 'linked');
  const victim = join(harness.home.open, 'victim');
  mkdirSync(directory, { recursive: true });
  mkdirSync(victim);
  symlinkSync(victim, join(directory, 'workspace'));
  await expect(harness.port.open(harness.spec(['/bin/true'], { directory }))).rejects.toThrow(/not a folder/);
  expect(execFileSync('stat', ['-c', '%u', victim]).toString().trim()).toBe(String(process.getuid?.()));
  rmSync(directory, { recursive: true });
});
