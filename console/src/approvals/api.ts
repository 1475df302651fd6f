import { callServer } from '../api.ts';

export type ApprovalState = 'waiting' | 'approved' | 'rejected' | 'expired';

export interface Approval {
  id: string;
  session_id: string;
  publication_id: string;
  publication_name: string;
  provider: 'slack' | 'github' | 'linear';
  capability: string;
  capability_words: string;
  tool: string;
  /** Whole, as people were asked, with what looks like a secret taken out. */
  shown: string;
  askers: { id: string; name?: string; kind: string }[];
  rules: { approvers: string[] | null; needed: number; self: boolean };
  votes: {
    voter_id: string;
    voter_name: string | null;
    decision: 'approve' | 'reject';
    created_at: string;
  }[];
  state: ApprovalState;
  outcome: string | null;
  created_at: string;
  expires_at: string;
  decided_at: string | null;
}

export interface ApprovalPage {
  data: Approval[];
  next_page: string | null;
}

const at = (id: string, rest = '') => `/v1/approvals/${encodeURIComponent(id)}${rest}`;

/** Newest first. Throws `ApiError`, as all of these do. */
export const listApprovals = (state?: ApprovalState, page?: string) => {
  const query = new URLSearchParams({ limit: state === 'waiting' ? '100' : '20' });
  if (state) query.set('state', state);
  if (page) query.set('page', page);
  return callServer<ApprovalPage>('GET', `/v1/approvals?${query}`);
};

export const fetchApproval = (id: string) => callServer<Approval>('GET', at(id));

export const decideApproval = (id: string, decision: 'approve' | 'reject') =>
  callServer<Approval>('POST', at(id, '/decide'), { decision });
