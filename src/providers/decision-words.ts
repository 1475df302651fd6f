import type { Decision } from '../store/schema.ts';

/** `approve apr_…` or `reject apr_…`, with or without a slash, and nothing else on the line. */
const pattern = /^\s*\/?(approve|reject)\s+(apr_[0-9a-z]{24})\s*$/i;

/** A decision over a request for approval, as a person types it or a button carries it. Pure. */
export function readDecision(line: string): { decision: Decision; approvalId: string } | undefined {
  const [, word, approvalId] = pattern.exec(line) ?? [];
  if (!word || !approvalId) return undefined;
  return { decision: word.toLowerCase() === 'approve' ? 'approve' : 'reject', approvalId };
}

/** The words for it, as `readDecision` reads them. */
export const decisionWords = (decision: Decision, approvalId: string): string => `${decision} ${approvalId}`;
