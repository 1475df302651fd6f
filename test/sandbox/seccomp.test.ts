import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seccompFilter, seccompMachine } from '../../src/sandbox/seccomp.ts';
import { judgedCalls, missingCalls, refusedCalls } from '../../src/sandbox/seccomp-syscalls.ts';
import { createHarness, type Harness } from './harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness.clear());

const machine = seccompMachine() ?? 'x64';
const numberOf = (row: readonly [number | null, number | null]) => row[machine === 'x64' ? 0 : 1];

/** Runs Python inside with `call(number, *arguments)`, which gives a name of an error or `ok`. */
async function probe(lines: string): Promise<string> {
  const { stdout, stderr } = await harness.run(`exec /usr/bin/python3 - <<'PROBE'
import ctypes, errno, socket, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(*args):
    ctypes.set_errno(0)
    r = libc.syscall(*[ctypes.c_ulong(a & (2**64 - 1)) for a in args])
    return 'ok' if r >= 0 else errno.errorcode.get(ctypes.get_errno(), '?')
def attempt(f):
    try:
        f(); return 'ok'
    except OSError as e:
        return errno.errorcode.get(e.errno, '?')
${lines}
PROBE`);
  return stdout + stderr;
}

test('the first process and the agent run under the filter', async () => {
  // The first process puts itself under it after it has started the agent: a moment later on a busy machine.
  const { stdout } = await harness.run(`
    for i in $(seq 500); do grep -q '^Seccomp:.2' /proc/1/status && break; sleep 0.01; done
    grep -h '^Seccomp:' /proc/1/status /proc/self/status`);
  expect(stdout).toBe('Seccomp:\t2\nSeccomp:\t2\n');
});

test('a start says that the filter is enforced', async () => {
  expect(await harness.port.check()).toMatchObject({ ok: true, enforced: { seccomp: true } });
});

test('every refused call is refused, also those that the kernel would refuse for another reason', async () => {
  const rows = Object.entries(refusedCalls).flatMap(([name, row]) => {
    const number = numberOf(row);
    return number === null ? [] : [[name, number] as const];
  });
  // With arguments that are wrong the kernel would say EFAULT, EBADF, EINVAL or ESRCH.
  const calls = rows.map(([name, number]) => `print('${name}', call(${number}, -1, -1, -1, -1, -1, -1))`);
  const out = await probe(calls.join('\n'));
  expect(out.trim().split('\n')).toEqual(rows.map(([name]) => `${name} EPERM`));
});

test('calls for which programs know another way are answered as missing', async () => {
  const rows = Object.entries(missingCalls);
  const out = await probe(
    rows.map(([name, row]) => `print('${name}', call(${numberOf(row)}, 0, 0, 0, 0, 0, 0))`).join('\n'),
  );
  expect(out.trim().split('\n')).toEqual(rows.map(([name]) => `${name} ENOSYS`));
});

test('a call newer than the filter is answered as missing', async () => {
  expect(await probe('print(call(470, 0, 0, 0), call(511, 0, 0, 0))')).toBe('ENOSYS ENOSYS\n');
});

test('only internet sockets can be made, and route netlink', async () => {
  const out = await probe(`
bad = [f for f in range(0, 64) if attempt(lambda: socket.socket(f, socket.SOCK_STREAM, 0)) == 'ok' or attempt(lambda: socket.socket(f, socket.SOCK_DGRAM, 0)) == 'ok']
print(bad)
print('unix', attempt(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)))
print('vsock', attempt(lambda: socket.socket(40, socket.SOCK_STREAM)))
print('packet', attempt(lambda: socket.socket(17, socket.SOCK_RAW, 0)))
print('alg', attempt(lambda: socket.socket(38, socket.SOCK_SEQPACKET)))
print('audit', attempt(lambda: socket.socket(16, socket.SOCK_RAW, 9)))
print('netfilter', attempt(lambda: socket.socket(16, socket.SOCK_RAW, 12)))
print('route', attempt(lambda: socket.socket(16, socket.SOCK_RAW, 0)))
print('raw', attempt(lambda: socket.socket(2, socket.SOCK_RAW, 1)))
print('ping', attempt(lambda: socket.socket(2, socket.SOCK_DGRAM, 1)))
print('sctp', attempt(lambda: socket.socket(2, socket.SOCK_STREAM, 132)))
print('cloexec', attempt(lambda: socket.socket(2, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)))
# The kernel reads 32 bits of a family: high bits must not hide it.
print('high bits', call(${numberOf(judgedCalls.socket)}, (1 << 32) | 1, 1, 0))`);
  expect(out.trim().split('\n')).toEqual([
    '[2, 10, 16]',
    'unix EAFNOSUPPORT',
    'vsock EAFNOSUPPORT',
    'packet EAFNOSUPPORT',
    'alg EAFNOSUPPORT',
    'audit EAFNOSUPPORT',
    'netfilter EAFNOSUPPORT',
    'route ok',
    'raw EPERM',
    'ping EPROTONOSUPPORT',
    'sctp EPROTONOSUPPORT',
    'cloexec ok',
    'high bits EAFNOSUPPORT',
  ]);
});

test('a pair of Unix sockets can be made, and of no other family', async () => {
  const out = await probe(`
print(attempt(lambda: socket.socketpair()))
print(call(${numberOf(judgedCalls.socketpair)}, 30, 1, 0, 0))`);
  expect(out).toBe('ok\nEAFNOSUPPORT\n');
});

test('no new namespace by clone, whatever else is asked for', async () => {
  const flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000];
  const out = await probe(
    flags.map((flag) => `print(call(${numberOf(judgedCalls.clone)}, ${flag} | 17, 0, 0, 0, 0))`).join('\n'),
  );
  expect(out).toBe('EPERM\n'.repeat(flags.length));
});

test('nothing is pushed into a terminal, also with high bits in the request', async () => {
  const out = await probe(`
import pty
leader, terminal = pty.openpty()
b = ctypes.create_string_buffer(b'x')
for request in (0x5412, 0x541c, 0x5423):
    for high in (0, 1 << 32, 0xffffffff << 32):
        print(call(${numberOf(judgedCalls.ioctl)}, terminal, request | high, ctypes.addressof(b)), end=' ')
print(os.isatty(terminal))`);
  expect(out.trim()).toBe(`${'EPERM '.repeat(9)}True`);
});

test('personality can be asked for and not be set to what weakens memory', async () => {
  const number = numberOf(judgedCalls.personality);
  expect(
    await probe(`print(call(${number}, 0xffffffff), call(${number}, 0x0400000), call(${number}, 0x40000))`),
  ).toBe('ok EPERM EPERM\n');
});

test('the limit on core dumps can be asked for and not be set, by either call and in no disguise', async () => {
  const set = numberOf(judgedCalls.setrlimit);
  const both = numberOf(judgedCalls.prlimit64);
  const out = await probe(`
import resource
print(resource.getrlimit(resource.RLIMIT_CORE))
zero = (ctypes.c_ulong * 2)(0, 0)
a = ctypes.addressof(zero)
print(call(${set}, 4, a), call(${set}, (1 << 32) | 4, a))
print(call(${both}, 0, 4, a, 0), call(${both}, 0, (1 << 32) | 4, a, 0), call(${both}, 0, 4, 1 << 32, 0))
print(call(${both}, 0, 4, 0, a), attempt(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))))`);
  expect(out).toBe('(1, 1)\nEPERM EPERM\nEPERM EPERM EPERM\nok ok\n');
});

// Other machines have neither of the two.
test.runIf(process.arch === 'x64')('x32 calls are missing, and an i386 call ends the process', async () => {
  const out = await probe(`
print('x32', call(0x40000000 | 39), call(0x40000000 | 101, 0, 0, 0, 0))
import mmap, signal
# mov eax, 20 (getpid of i386); int 0x80; ret
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')
run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
child = os.fork()
if child == 0:
    run(); os._exit(0)
print('i386', signal.Signals(os.waitpid(child, 0)[1] & 0x7f).name)`);
  expect(out).toBe('x32 ENOSYS ENOSYS\ni386 SIGSYS\n');
});

test('no debugger attaches, and the first process has no more rights than the agent', async () => {
  const { stdout } = await harness.run(`
    sleep 30 & p=$!
    command -v strace >/dev/null && strace -p $p -o /dev/null 2>&1 | tail -1
    kill $p
    grep -h -e ^CapEff -e ^CapPrm -e ^NoNewPrivs /proc/1/status`);
  expect(stdout).not.toMatch(/attached/);
  expect(stdout).toContain('CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n');
});

describe('ordinary programs work under the filter', () => {
  const programs: Record<string, { needs: string; script: string; says: string }> = {
    'git commits and clones': {
      needs: 'git',
      script:
        'cd /workspace && rm -rf a b && git init -q a && cd a && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one && git clone -q . ../b && git -C ../b log --format=%s',
      says: 'one',
    },
    'node starts children and threads': {
      needs: 'node',
      script: `node -e '
        const { Worker } = require("node:worker_threads");
        const { fork, execFileSync } = require("node:child_process");
        new Worker("require(\\"node:worker_threads\\").parentPort.postMessage(1)", { eval: true }).on("message", () =>
          console.log("thread", execFileSync("echo", ["child"]).toString().trim(), require("os").networkInterfaces().lo[0].address));'`,
      says: 'thread child 127.0.0.1',
    },
    'python runs threads and processes': {
      needs: '/usr/bin/python3',
      script: `/usr/bin/python3 -c '
import threading, subprocess, multiprocessing
t = threading.Thread(target=lambda: print("thread", flush=True)); t.start(); t.join()
print(subprocess.check_output(["echo", "child"]).decode().strip())
p = multiprocessing.get_context("fork").Process(target=lambda: print("forked", flush=True)); p.start(); p.join()'`,
      says: 'thread\nchild\nforked',
    },
    'npm runs a script': {
      needs: 'npm',
      script: `cd /workspace && echo '{"scripts":{"hi":"echo from-npm"}}' > package.json && npm run --silent hi`,
      says: 'from-npm',
    },
    'java runs': {
      needs: 'java',
      script: `cat > /tmp/A.java <<'J'
class A { public static void main(String[] a) throws Exception { Thread t = new Thread(() -> System.out.println("java thread")); t.start(); t.join(); } }
J
java -Xmx128m /tmp/A.java`,
      says: 'java thread',
    },
    'perl, tar and sort run': {
      needs: 'perl',
      script: `cd /tmp && perl -e 'print "b\\na\\n"' | sort > s && tar cf s.tar s && tar xOf s.tar`,
      says: 'a\nb',
    },
  };
  for (const [name, { needs, script, says }] of Object.entries(programs)) {
    test(name, async (context) => {
      if ((await harness.run(`command -v ${needs}`)).code !== 0) context.skip(`${needs} is not installed`);
      const { stdout, stderr } = await harness.run(script);
      expect(stderr + stdout).toContain(says);
    });
  }
});

test('the filters of both machines are short and jump forward only', () => {
  for (const each of ['x64', 'arm64'] as const) {
    const filter = seccompFilter(each);
    expect(filter.length % 8).toBe(0);
    expect(filter.length / 8).toBeLessThan(200);
    for (let i = 0; i < filter.length / 8; i++) {
      const isJump = (filter.readUInt16LE(i * 8) & 7) === 5;
      const far = isJump ? Math.max(filter.readUInt8(i * 8 + 2), filter.readUInt8(i * 8 + 3)) : 0;
      expect(i + 1 + far).toBeLessThan(filter.length / 8 + (isJump ? 0 : 1));
    }
  }
});
