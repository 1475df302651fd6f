/** In which processor time is counted, the kernel's default: a program that was held back goes on within this time. */
const periodMicroseconds = 100_000;
/** The kernel takes no less. */
const minQuotaMicroseconds = 1_000;

/** What is there only where the kernel can limit processor time (CONFIG_CFS_BANDWIDTH), by version of cgroups. */
export const quotaFiles = { 1: 'cpu.cfs_quota_us', 2: 'cpu.max' } as const;

/**
 * The files of a group, and what is written into them in this order, so that its programs get no more than the time of so
 * many processors together (Linux, Documentation/scheduler/sched-bwc.rst and admin-guide/cgroup-v2.rst). Pure.
 */
export function quotaSettings(version: 1 | 2, processors: number): [file: string, value: string][] {
  const quota = Math.max(minQuotaMicroseconds, Math.round(processors * periodMicroseconds));
  return version === 1
    ? [
        ['cpu.cfs_period_us', String(periodMicroseconds)],
        [quotaFiles[1], String(quota)],
      ]
    : [[quotaFiles[2], `${quota} ${periodMicroseconds}`]];
}
