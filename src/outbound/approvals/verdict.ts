import { isNamed } from '../../capabilities/policy.ts';
import type { ApprovalRules, ApprovalState, Asker, Decision } from '../../store/schema.ts';

/** Who decides: a person at the provider, or the holder of an API key or of the console's cookie. */
export interface Voter extends Asker {
  /** By the provider's own word, asked for this decision. Of no meaning for the API. */
  hasAuthority: boolean;
  /** The provider's unique name of this person, where it has one. */
  handle?: string;
}

export type RefusalCode =
  | 'unknown'
  | 'already_decided'
  | 'expired'
  | 'bot'
  | 'asker'
  | 'not_an_approver'
  | 'twice'
  | 'changed'
  | 'no_longer_granted';

export interface VerdictInput {
  approval: { state: ApprovalState; rules: ApprovalRules; askers: readonly Asker[]; expiresAt: Date };
  /** Those that count so far, one per person. */
  votes: readonly { voterId: string; decision: Decision }[];
  voter: Voter;
  decision: Decision;
  now: Date;
}

export type Verdict =
  | { kind: 'refused'; code: RefusalCode; reason: string }
  /** Counted; `left` more must approve. */
  | { kind: 'counted'; left: number }
  | { kind: 'decided'; state: 'approved' | 'rejected' };

const no = (code: RefusalCode, reason: string): Verdict => ({ kind: 'refused', code, reason });

/** What one person's word on a request comes to. Pure. */
export function judgeVote({ approval, votes, voter, decision, now }: VerdictInput): Verdict {
  const { rules } = approval;
  if (approval.state !== 'waiting')
    return no('already_decided', `This request is ${approval.state} already.`);
  if (now >= approval.expiresAt) return no('expired', 'This request has expired. The agent can ask again.');
  if (voter.kind === 'bot') return no('bot', 'Bots do not decide over requests; a person must.');
  const isAsker = approval.askers.some((asker) => asker.id === voter.id);
  // Who asked may always take it back.
  if (isAsker && !rules.self && decision === 'approve') {
    return no('asker', 'You asked for this yourself, so somebody else must approve it.');
  }
  const mayDecide =
    voter.kind === 'api' || (rules.approvers === null ? voter.hasAuthority : isNamed(rules.approvers, voter));
  if (!mayDecide && !(isAsker && decision === 'reject')) {
    return no(
      'not_an_approver',
      rules.approvers === null
        ? 'Only people with authority here may decide over this request.'
        : "Only the people on the publication's list of approvers may decide over this request.",
    );
  }
  if (votes.some(({ voterId }) => voterId === voter.id)) {
    return no('twice', 'Your word on this request has been counted already.');
  }
  if (decision === 'reject') return { kind: 'decided', state: 'rejected' };
  const left = rules.needed - votes.filter((vote) => vote.decision === 'approve').length - 1;
  return left > 0 ? { kind: 'counted', left } : { kind: 'decided', state: 'approved' };
}
