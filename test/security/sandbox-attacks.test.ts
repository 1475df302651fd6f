import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { descendantsOf } from '../../src/sandbox/processes.ts';
import type { Sandbox, SandboxSpec } from '../../src/sandbox/sandbox.ts';
import { sessionUid } from '../../src/sandbox/uids.ts';
import { createHarness, finish, firstLine, type Harness, isRoot, limits, until } from '../sandbox/harness.ts';

const MiB = 1024 * 1024;
let harness: Harness;
beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness.clear());

let count = 0;
/** Another session each time, under a uid of its own. */
function session(changes: Partial<SandboxSpec> = {}): Partial<SandboxSpec> & { directory: string } {
  count++;
  const directory = join(harness.home.open, 'sessions', `attack-${count}`);
  return { uid: sessionUid(100 + count), directory, ...changes };
}
const python = (code: string) => `/usr/bin/python3 - <<'PYTHON'\n${code}\nPYTHON`;

/** A session that answers what it is sent; `echo` resolves with the answer. */
async function victim(): Promise<{ sandbox: Sandbox; echo(word: string): Promise<string> }> {
  const sandbox = await harness.port.open(harness.spec(['/bin/cat'], session()));
  return {
    sandbox,
    async echo(word) {
      const answer = firstLine(sandbox.stdout);
      sandbox.stdin.write(`${word}\n`);
      return answer;
    },
  };
}

test('a session neither sees, signals nor traces another one, and shares no memory with it', async () => {
  const other = await victim();
  expect(await other.echo('up')).toBe('up');
  const pids = [other.sandbox.pid, ...descendantsOf(other.sandbox.pid)];
  const shared = harness.run(python('import mmap; print("ok")'), session());
  const { stdout } = await harness.run(
    `for p in ${pids.join(' ')}; do [ -e /proc/$p/status ] && grep -q cat /proc/$p/comm && echo "sees $p"; done
     kill -9 -1 2>/dev/null; ls /proc | grep -c '^[0-9]*$'; ipcs -m | grep -c 0x; ls /dev/shm /dev/mqueue 2>/dev/null | wc -l`,
    session(),
  );
  expect(stdout).not.toContain('sees');
  expect((await shared).stdout).toBe('ok\n');
  expect(await other.echo('still')).toBe('still');
  await other.sandbox.close(0);
});

// Sessions have uids of their own where root gives them.
test.runIf(isRoot)('without namespaces too, the uid of one session can do nothing to another', async () => {
  const other = await victim();
  await other.echo('up');
  const [pid = 0] = descendantsOf(other.sandbox.pid);
  const attempt = (...command: string[]) =>
    spawnSync('setpriv', [
      `--reuid=${sessionUid(1)}`,
      `--regid=${sessionUid(1)}`,
      '--clear-groups',
      ...command,
    ]).status;
  expect(attempt('true')).toBe(0);
  expect(attempt('kill', '-9', String(pid))).not.toBe(0);
  for (const file of ['environ', 'mem', 'fd/0', 'root', 'cwd'])
    expect(attempt('cat', `/proc/${pid}/${file}`), file).not.toBe(0);
  expect(await other.echo('still')).toBe('still');
  await other.sandbox.close(0);
});

test('the processes of a sandbox, seen from the host, hold nothing of the environment of the worker', async () => {
  process.env.TAGALONG_TEST_CANARY = 'canary-2b8d1f';
  const { sandbox, echo } = await victim();
  await echo('up');
  const seen = [sandbox.pid, ...descendantsOf(sandbox.pid)].map((pid) => ({
    environment: readFileSync(`/proc/${pid}/environ`, 'utf8'),
    line: readFileSync(`/proc/${pid}/cmdline`, 'utf8'),
  }));
  // Bubblewrap's own two; the agent's have what they were given.
  expect(seen.slice(0, 2).map(({ environment }) => environment)).toEqual(['', '']);
  expect(JSON.stringify(seen)).not.toContain('canary-2b8d1f');
  delete process.env.TAGALONG_TEST_CANARY;
  await sandbox.close(0);
});

test('sockets of the host are out of reach, by path in the workspace and by abstract name', async () => {
  const { directory, ...changes } = session();
  await harness.run('true', { directory, ...changes });
  const path = join(directory, 'workspace', 'door');
  const listen = (at: string) =>
    new Promise<Server>((resolve) => {
      const server = createServer((socket) => socket.end('reached\n'));
      server.listen(at, () => resolve(server));
    });
  const servers = [await listen(path), await listen('\0tagalong-attack')];
  chmodSync(path, 0o777);
  const { stdout } = await harness.run(
    python(`
import socket
for at in ['/workspace/door', '\\0tagalong-attack']:
    try:
        s = socket.socket(socket.AF_UNIX); s.connect(at); print(s.recv(99))
    except OSError as e: print(e.errno)
a, b = socket.socketpair()
for at in ['/workspace/door', '\\0tagalong-attack']:
    try: a.connect(at); print('connected')
    except OSError as e: print(e.errno)`),
    { directory, ...changes },
  );
  for (const server of servers) server.close();
  // EAFNOSUPPORT: there is no such socket to begin with. EISCONN: a pair has its end already.
  expect(stdout.trim().split('\n').slice(0, 2)).toEqual(['97', '97']);
  expect(stdout).not.toMatch(/reached|connected/);
});

test('a crash leaves no core dump, whatever the program wants', async () => {
  const { stdout } = await harness.run(
    `cd /workspace; ulimit -c unlimited 2>/dev/null; ulimit -c 0 2>/dev/null && echo "set"
     bash -c 'kill -SEGV $$' 2>/dev/null; ls -A; grep 'Max core' /proc/self/limits | tr -s ' '`,
    session(),
  );
  expect(stdout).toBe('Max core file size 1 1 bytes \n');
});

test('there are no devices but the harmless ones, and none can be made', async () => {
  const { stdout } = await harness.run(
    `ls /dev | xargs; for t in 'b 7 0' 'c 1 1' 'c 10 232'; do mknod /tmp/d $t 2>/dev/null && echo made; done; echo done`,
    session(),
  );
  expect(stdout).toBe(
    'console core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\ndone\n'.replace(
      'console ',
      '',
    ),
  );
});

test('setuid files of its own and of the system give it nothing', async () => {
  const { stdout } = await harness.run(
    `cp /usr/bin/id /workspace/id; chmod 6777 /workspace/id; /workspace/id -u; /usr/bin/su -c id root </dev/null 2>&1 | grep -c uid=0
     grep NoNewPrivs /proc/self/status; find / -xdev -perm -4000 -newer /proc/1/stat 2>/dev/null`,
    session(),
  );
  expect(stdout).toBe('1000\n0\nNoNewPrivs:\t1\n');
});

test('links, pipes, holes and loops in what it writes harm nobody who starts or measures it again', async () => {
  const spec = session({ limits: { ...limits, workspaceBytes: 64 * MiB } });
  // Plain folders, which the host can see, are the worse case: a disk of its own is seen by nobody.
  await harness.run('true', { ...spec, limits });
  const mischief = `
    ln -s /etc/shadow shadow; ln -s /oldroot/etc up; ln -s . loop; mkfifo pipe; truncate -s 1T hole
    mkdir -p deep; cd deep; for i in $(seq 100); do mkdir d; cd d; done; cd /workspace
    printf x > "$(printf 'new\\nline')"; rm -rf ~/.config; ln -s /etc ~/.config; chmod 0 deep; echo done`;
  expect((await harness.run(mischief, spec)).stdout).toBe('done\n');
  const sandbox = await harness.port.open(harness.spec(['/bin/bash', '-c', 'sleep 3; echo alive'], spec));
  expect((await finish(sandbox)).stdout).toBe('alive\n');
  expect(execFileSync('stat', ['-c', '%U', '/etc/shadow']).toString()).toBe('root\n');
});

test('what it puts in the place of the folders that the platform writes is not there for it to put', async () => {
  const { directory, ...changes } = session();
  const { stdout } = await harness.run(
    `for f in ../trust ../settings ../disk.img /workspace/../trust ${directory}/trust; do
       (: > $f/x) 2>/dev/null && echo "writes $f"; [ -e $f ] && echo "sees $f"; done
     mv /workspace /w 2>/dev/null && echo moved; rmdir /home/agent 2>/dev/null && echo removed; exit 0`,
    { directory, ...changes },
  );
  expect(stdout).toBe('');
});

const bombs: Record<string, string> = {
  'forks without end': python(`
import os, time
while True:
    try:
        if os.fork() == 0: time.sleep(60); os._exit(0)
    except OSError: print('full', flush=True); time.sleep(60)`),
  'takes all memory': python(`
b = []
print('full', flush=True)
while True: b.append(bytearray(8 << 20))`),
  'opens files until no more can be opened': python(`
import os, time
try:
    while True: os.open('/dev/null', 0)
except OSError: print('full', flush=True); time.sleep(60)`),
  'makes files until no more can be made': python(`
import os, time
n = 0
print('full', flush=True)
while True:
    try: os.close(os.open('/tmp/%d' % n, os.O_CREAT)); n += 1
    except OSError: time.sleep(60)`),
  'fills its temporary folders': python(`
import time
print('full', flush=True)
for name in ('/tmp/x', '/var/tmp/x', '/dev/shm/x'):
    try:
        with open(name, 'wb') as f:
            while True: f.write(b'x' * (1 << 20))
    except OSError: pass
time.sleep(60)`),
  'keeps every processor busy': 'for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; echo full; wait',
};
for (const [name, script] of Object.entries(bombs)) {
  test(`a session that ${name} harms itself only`, async () => {
    const other = await victim();
    await other.echo('up');
    const bomb = await harness.port.open(
      harness.spec(
        ['/bin/bash', '-c', script],
        session({
          limits: { ...limits, memoryBytes: 128 * MiB, maxProcesses: 80, workspaceBytes: 64 * MiB },
        }),
      ),
    );
    expect(await firstLine(bomb.stdout)).toBe('full');
    expect(await other.echo('still')).toBe('still');
    // The host's own limits are far away: another session still starts.
    expect((await harness.run('echo new', session())).stdout).toBe('new\n');
    const end = await bomb.close(0);
    expect(end.reason).toMatch(/closed|out of memory/);
    expect(await other.echo('after')).toBe('after');
    await other.sandbox.close(0);
  });
}

test('each sandbox reaches its own listener only, and no process inside holds it', async () => {
  const serve =
    (word: string): SandboxSpec['onListener'] =>
    async (handle, role) => {
      if (role !== 'proxy') return;
      const server = createServer((socket) => socket.end(`${word}\n`));
      await new Promise<void>((resolve) => server.listen(handle, resolve));
      server.unref();
    };
  const ask = `exec 3<>/dev/tcp/127.0.0.1/3128; cat <&3
    for inode in $(awk '$4 == "0A" { print $10 }' /proc/net/tcp); do
      echo listens; ls -l /proc/*/fd 2>/dev/null | grep "socket:.$inode."
    done
    ${python(`
import socket
try: socket.socket().bind(('127.0.0.1', 3128)); print('taken over')
except OSError as e: print(e.strerror)`)}`;
  const [first, second] = await Promise.all(
    ['first', 'second'].map((word) => harness.run(ask, session({ onListener: serve(word) }))),
  );
  expect(first?.stdout).toBe('first\nlistens\nlistens\nlistens\nAddress already in use\n');
  expect(second?.stdout).toBe('second\nlistens\nlistens\nlistens\nAddress already in use\n');
});

test('nothing but TCP to the listeners leads anywhere: no UDP, ICMP, raw packets, IPv6 or DNS elsewhere', async () => {
  const { stdout } = await harness.run(
    python(`
import socket
def attempt(name, family, kind, protocol, to, data=b'x'):
    try:
        s = socket.socket(family, kind, protocol); s.settimeout(0.5)
        if kind == socket.SOCK_DGRAM:
            s.sendto(data, to); print(name, s.recv(9))
        else:
            s.connect(to); print(name, 'connected')
    except OSError as e: print(name, 'no')
I4, I6, T, U = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
attempt('quic', I4, U, 0, ('93.184.216.34', 443))
attempt('ntp', I4, U, 0, ('93.184.216.34', 123))
attempt('icmp', I4, U, 1, ('93.184.216.34', 0))
attempt('raw', I4, socket.SOCK_RAW, 1, ('93.184.216.34', 0))
attempt('six', I6, T, 0, ('2606:4700:4700::1111', 443))
attempt('six udp', I6, U, 0, ('2606:4700:4700::1111', 53))
attempt('dot', I4, T, 0, ('1.1.1.1', 853))
attempt('ssh', I4, T, 0, ('93.184.216.34', 22))
attempt('metadata', I4, U, 0, ('169.254.169.254', 53))`),
    session(),
  );
  expect(
    stdout
      .trim()
      .split('\n')
      .filter((line) => !line.endsWith(' no')),
  ).toEqual([]);
  expect(stdout.trim().split('\n')).toHaveLength(9);
});

test('what a start left behind when it failed is nothing', async () => {
  const before = readdirSync(harness.home.open).sort();
  const { directory, ...changes } = session();
  mkdirSync(directory, { recursive: true });
  await expect(
    harness.port.open(
      harness.spec(['/bin/true'], {
        directory,
        ...changes,
        onListener: () => Promise.reject(new Error('no')),
      }),
    ),
  ).rejects.toThrow('no');
  await until(() =>
    descendantsOf(process.pid).every(
      (pid) => !readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory),
    ),
  );
  expect(readdirSync(harness.home.open).sort()).toEqual(before);
});
