import type { InstallationIdentity } from '../../../src/store/schema.ts';

export const identity: InstallationIdentity = {
  workspaceId: '9001',
  workspaceName: 'acme',
  appId: '501',
  userId: '7001',
  handle: 'ada',
};

export const maya = { id: 11, login: 'maya', type: 'User', node_id: 'U_11', site_admin: false };
export const bot = { id: 7001, login: 'ada[bot]', type: 'Bot' };
const repository = {
  id: 33,
  name: 'widgets',
  full_name: 'acme/widgets',
  private: true,
  owner: { id: 1, login: 'acme' },
};

export const issue = (more: Record<string, unknown> = {}) => ({
  id: 1001,
  number: 7,
  title: 'Tests fail on main',
  body: '@ada please look into it.',
  user: maya,
  labels: [],
  state: 'open',
  comments: 0,
  created_at: '2026-11-20T11:59:00Z',
  updated_at: '2026-11-20T11:59:00Z',
  author_association: 'MEMBER',
  performed_via_github_app: null,
  ...more,
});

export const comment = (more: Record<string, unknown> = {}) => ({
  id: 2001,
  body: '@ada and the linter',
  user: maya,
  created_at: '2026-11-20T12:00:00Z',
  performed_via_github_app: null,
  ...more,
});

export const delivery = (action: string, more: Record<string, unknown> = {}) => ({
  action,
  installation: { id: 9001, node_id: 'I_1' },
  sender: maya,
  repository,
  organization: { login: 'acme', id: 1 },
  ...more,
});

/** One of each kind that GitHub sends, with its event's name. */
export const deliveries: [string, Record<string, unknown>][] = [
  ['issues', delivery('opened', { issue: issue() })],
  ['issues', delivery('labeled', { issue: issue(), label: { id: 1, name: 'agent' } })],
  ['issues', delivery('assigned', { issue: issue(), assignee: bot })],
  ['issues', delivery('edited', { issue: issue(), changes: { body: { from: 'please' } } })],
  ['issue_comment', delivery('created', { issue: issue(), comment: comment() })],
  ['issue_comment', delivery('deleted', { issue: issue(), comment: comment() })],
  ['pull_request', delivery('opened', { number: 8, pull_request: issue({ number: 8 }) })],
  [
    'pull_request_review_comment',
    delivery('created', {
      pull_request: issue({ number: 8 }),
      comment: comment({ path: 'src/a.ts', line: 12, diff_hunk: '@@', in_reply_to_id: 1999 }),
    }),
  ],
  [
    'pull_request_review',
    delivery('submitted', {
      pull_request: issue({ number: 8 }),
      review: {
        id: 3001,
        body: '@ada fix these',
        user: maya,
        state: 'commented',
        submitted_at: '2026-11-20T12:00:00Z',
      },
    }),
  ],
  [
    'installation',
    { action: 'deleted', installation: { id: 9001, app_id: 501 }, sender: maya, repositories: [] },
  ],
  ['ping', { zen: 'Keep it logically awesome.', hook_id: 1 }],
];
