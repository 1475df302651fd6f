import type { Approval, ApprovalState } from './api.ts';

export const approvalStates: Record<
  ApprovalState,
  { words: string; tone: 'good' | 'attention' | 'bad' | 'quiet' }
> = {
  waiting: { words: 'Waiting', tone: 'attention' },
  approved: { words: 'Approved', tone: 'good' },
  rejected: { words: 'Rejected', tone: 'bad' },
  expired: { words: 'Expired', tone: 'quiet' },
};

/** Who asked, as people say it. */
export function askerWords({ askers }: Pick<Approval, 'askers'>): string {
  const names = askers.map(({ id, name }) => name ?? id);
  return names.length === 0 ? 'nobody in particular' : names.join(', ');
}

/** Who may decide, as people say it. */
export function ruleWords({ rules, askers }: Pick<Approval, 'rules' | 'askers'>): string {
  const who =
    rules.approvers === null ? 'anybody with authority there' : `one of: ${rules.approvers.join(', ')}`;
  const many = rules.needed === 1 ? '' : ` ${rules.needed} of them must approve.`;
  const self = rules.self || askers.length === 0 ? '' : ' Not who asked.';
  return `In the thread, ${who}.${many}${self}`;
}

/** How long from `now` until a moment, in words: `in 12 minutes`. Pure. */
export function untilWords(moment: string, nowMs: number): string {
  const minutes = Math.ceil((Date.parse(moment) - nowMs) / 60_000);
  if (minutes <= 0) return 'now';
  if (minutes < 60) return `in ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `in ${hours} ${hours === 1 ? 'hour' : 'hours'}` : `in ${Math.round(hours / 24)} days`;
}

/** A moment as it is said here. */
export function momentWords(moment: string): string {
  return new Date(moment).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
