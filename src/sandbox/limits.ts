import { readFileSync } from 'node:fs';
import type { SandboxLimits } from './sandbox.ts';

/** What Node 24 maps writable and does not touch (570 MiB as measured); RLIMIT_DATA counts it all the same. */
const mappedBytes = 640 * 1024 * 1024;

/**
 * A core dump is never smaller than a page, so there is none; and unlike 0, which does not count where the host pipes
 * dumps to a program, 1 means to the kernel that this one is not to be piped either (`fs/coredump.c`).
 */
const noCore = 1;

/** Which of the limits rlimits have to enforce, because no cgroup does. */
export interface RlimitNeeds {
  memory: boolean;
  processes: boolean;
}

/**
 * Arguments of util-linux `prlimit`. No core dumps ever. Memory by RLIMIT_DATA is per process and coarse. RLIMIT_NPROC
 * counts per user namespace since Linux 5.14, hence it is set after the namespace was made. A limit cannot be raised
 * above the present one.
 */
export function rlimitArguments(limits: SandboxLimits, needs: RlimitNeeds, present: string): string[] {
  const clamp = (name: string, wanted: number) => Math.min(wanted, hardLimit(present, name));
  return [
    `--core=${noCore}`,
    `--nofile=${clamp('Max open files', limits.maxOpenFiles)}`,
    `--fsize=${clamp('Max file size', limits.maxFileBytes)}`,
    ...(needs.memory ? [`--data=${clamp('Max data size', limits.memoryBytes + mappedBytes)}`] : []),
    ...(needs.processes ? [`--nproc=${clamp('Max processes', limits.maxProcesses)}`] : []),
  ];
}

/** The hard limit of a row of `/proc/self/limits`; infinite when unlimited or unknown. */
export function hardLimit(limits: string, name: string): number {
  const row = limits.split('\n').find((line) => line.startsWith(`${name} `));
  const hard = row?.slice(26).trim().split(/\s+/)[1];
  return hard === undefined || hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
}

/** The limits of our own process, as the kernel prints them. */
export function presentLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
