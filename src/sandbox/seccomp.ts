import { judgedCalls, missingCalls, newestCall, refusedCalls } from './seccomp-syscalls.ts';

export type SeccompMachine = 'x64' | 'arm64';

/** `linux/audit.h`: AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64. */
const auditArch: Readonly<Record<SeccompMachine, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };
/** `linux/bpf_common.h`. */
const op = { load: 0x20, jumpEqual: 0x15, jumpGreaterEqual: 0x35, jumpAnySet: 0x45, and: 0x54, return: 0x06 };
/** Offsets in `struct seccomp_data`, little-endian: the low half of an argument comes first. */
const at = { number: 0, arch: 4, argument: (index: number) => 16 + 8 * index };
const errno = { EPERM: 1, ENOSYS: 38, EPROTONOSUPPORT: 93, EAFNOSUPPORT: 97 };
const verdict = { allow: 0x7fff0000, kill: 0x80000000, fail: (code: number) => 0x00050000 | code };

const AF = { UNIX: 1, INET: 2, INET6: 10, NETLINK: 16 };
const SOCK = { STREAM: 1, DGRAM: 2, RAW: 3, typeMask: 0xf };
const IPPROTO = { any: 0, TCP: 6, UDP: 17 };
const NETLINK_ROUTE = 0;
const RLIMIT_CORE = 4;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const newNamespace = 0x7e020000;
/** Push bytes into the input of a terminal (TIOCSTI), paste into it (TIOCLINUX), load a line discipline (TIOCSETD). */
const refusedIoctls = [0x5412, 0x541c, 0x5423];
/** PER_LINUX, PER_LINUX32, UNAME26 and both; and the question what it is. As Docker's profile has it. */
const personalities = [0, 8, 0x20000, 0x20008, 0xffffffff];
/** Numbers of the x32 calls begin here. */
const x32 = 0x40000000;

interface Instruction {
  code: number;
  value: number;
  /** Where to go on, by label; the next one when it is not said. */
  yes?: string;
  no?: string;
}

/** Assembles classic BPF with labels; jumps go forward, over at most 255 instructions. */
class Program {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  label(name: string): void {
    this.#labels.set(name, this.#instructions.length);
  }

  load(offset: number): void {
    this.#instructions.push({ code: op.load, value: offset });
  }

  mask(value: number): void {
    this.#instructions.push({ code: op.and, value });
  }

  answer(value: number): void {
    this.#instructions.push({ code: op.return, value });
  }

  jump(code: number, value: number, yes: string | undefined, no?: string): void {
    this.#instructions.push({ code, value, ...(yes ? { yes } : {}), ...(no ? { no } : {}) });
  }

  /** Goes to `yes` for any of the values, to `no` for every other. */
  oneOf(values: readonly number[], yes: string, no: string): void {
    values.forEach((value, i) => {
      this.jump(op.jumpEqual, value, yes, i === values.length - 1 ? no : undefined);
    });
  }

  bytes(): Buffer {
    const out = Buffer.alloc(this.#instructions.length * 8);
    this.#instructions.forEach(({ code, value, yes, no }, i) => {
      out.writeUInt16LE(code, i * 8);
      out.writeUInt8(this.#distance(i, yes), i * 8 + 2);
      out.writeUInt8(this.#distance(i, no), i * 8 + 3);
      out.writeUInt32LE(value >>> 0, i * 8 + 4);
    });
    return out;
  }

  #distance(from: number, label: string | undefined): number {
    if (label === undefined) return 0;
    const distance = (this.#labels.get(label) ?? -1) - from - 1;
    if (distance < 0 || distance > 255) throw new RangeError(`The label ${label} is out of a jump's reach.`);
    return distance;
  }
}

/**
 * The filter under which everything in a sandbox runs, as bubblewrap's `--seccomp` wants it: an array of
 * `struct sock_filter`. What is not named is allowed; the families of sockets are the other way round.
 */
export function seccompFilter(machine: SeccompMachine): Buffer {
  const column = machine === 'x64' ? 0 : 1;
  const numbers = (table: Readonly<Record<string, readonly [number | null, number | null]>>) =>
    Object.values(table).flatMap((row) => row[column] ?? []);
  const p = new Program();
  p.load(at.arch);
  // Calls of another machine (i386 on x64) have other numbers: every check below would be blind to them.
  p.jump(op.jumpEqual, auditArch[machine], undefined, 'kill');
  p.load(at.number);
  if (machine === 'x64') p.jump(op.jumpGreaterEqual, x32, 'x32');
  p.jump(op.jumpGreaterEqual, newestCall + 1, 'missing');
  for (const [name, row] of Object.entries(judgedCalls)) p.jump(op.jumpEqual, row[column], name);
  p.oneOf(numbers(missingCalls), 'missing', 'next');
  p.label('next');
  p.oneOf(numbers(refusedCalls), 'refuse', 'allow');

  p.label('socket');
  p.load(at.argument(0));
  p.jump(op.jumpEqual, AF.NETLINK, 'netlink');
  p.oneOf([AF.INET, AF.INET6], 'inet', 'family');
  p.label('inet');
  p.load(at.argument(1));
  p.mask(SOCK.typeMask);
  p.oneOf([SOCK.STREAM, SOCK.DGRAM], 'protocol', 'refuse');
  p.label('protocol');
  p.load(at.argument(2));
  p.oneOf([IPPROTO.any, IPPROTO.TCP, IPPROTO.UDP], 'allow', 'transport');
  // getifaddrs and `ip` ask the kernel for interfaces and routes by it.
  p.label('netlink');
  p.load(at.argument(2));
  p.jump(op.jumpEqual, NETLINK_ROUTE, 'allow', 'family');

  p.label('socketpair');
  p.load(at.argument(0));
  p.jump(op.jumpEqual, AF.UNIX, 'allow', 'family');

  p.label('clone');
  p.load(at.argument(0));
  p.jump(op.jumpAnySet, newNamespace, 'refuse', 'allow');

  // The kernel reads the low 32 bits of the request only, and so does this: high bits change nothing.
  p.label('ioctl');
  p.load(at.argument(1));
  p.oneOf(refusedIoctls, 'refuse', 'allow');

  p.label('personality');
  p.load(at.argument(0));
  p.oneOf(personalities, 'allow', 'refuse');

  // Asking for the limit on core dumps is fine, setting it is not: 0 would let the host's handler have them.
  p.label('setrlimit');
  p.load(at.argument(0));
  p.jump(op.jumpEqual, RLIMIT_CORE, 'refuse', 'allow');
  p.label('prlimit64');
  p.load(at.argument(1));
  p.jump(op.jumpEqual, RLIMIT_CORE, undefined, 'allow');
  p.load(at.argument(2));
  p.jump(op.jumpEqual, 0, undefined, 'refuse');
  p.load(at.argument(2) + 4);
  p.jump(op.jumpEqual, 0, 'allow', 'refuse');

  p.label('allow');
  p.answer(verdict.allow);
  p.label('refuse');
  p.answer(verdict.fail(errno.EPERM));
  p.label('missing');
  p.label('x32');
  p.answer(verdict.fail(errno.ENOSYS));
  p.label('family');
  p.answer(verdict.fail(errno.EAFNOSUPPORT));
  p.label('transport');
  p.answer(verdict.fail(errno.EPROTONOSUPPORT));
  p.label('kill');
  p.answer(verdict.kill);
  return p.bytes();
}

/** The machine that this process runs on, where there is a filter for it. */
export function seccompMachine(arch: string = process.arch): SeccompMachine | undefined {
  return arch === 'x64' || arch === 'arm64' ? arch : undefined;
}
