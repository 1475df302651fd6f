import type { InstallationIdentity } from '../../../src/store/schema.ts';

export const identity: InstallationIdentity = {
  workspaceId: 'org-1',
  workspaceName: 'Acme',
  userId: 'app-user-1',
  handle: 'ada',
};
export const sessionId = '11111111-1111-4111-8111-111111111111';
export const issueId = '22222222-2222-4222-8222-222222222222';
export const maya = {
  id: 'user-1',
  name: 'Maya',
  email: 'maya@acme.example',
  url: 'https://linear.app/acme/profiles/maya',
};

const session = (more: Record<string, unknown> = {}) => ({
  id: sessionId,
  appUserId: 'app-user-1',
  organizationId: 'org-1',
  status: 'pending',
  type: 'commentThread',
  creatorId: 'user-1',
  creator: maya,
  issueId,
  issue: {
    id: issueId,
    identifier: 'ENG-1',
    title: 'Tests fail on main',
    description: 'They fail since Tuesday.',
    url: 'https://linear.app/acme/issue/ENG-1',
    teamId: 'team-1',
    team: { id: 'team-1', key: 'ENG', name: 'Engineering' },
  },
  ...more,
});

const event = (
  action: string,
  agentSession: Record<string, unknown>,
  more: Record<string, unknown> = {},
) => ({
  type: 'AgentSessionEvent',
  action,
  appUserId: 'app-user-1',
  oauthClientId: 'client-1',
  organizationId: 'org-1',
  createdAt: '2026-11-20T12:00:00.000Z',
  agentSession,
  ...more,
});

export const created = (agentSession: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
  event('created', session(agentSession), { promptContext: '<issue identifier="ENG-1"/>', ...more });

export const prompted = (activity: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
  event('prompted', session(), {
    agentActivity: {
      id: '33333333-3333-4333-8333-333333333333',
      agentSessionId: sessionId,
      content: { type: 'prompt', body: 'and the linter' },
      userId: 'user-1',
      user: maya,
      sourceCommentId: 'comment-2',
      ...activity,
    },
    ...more,
  });

/** One of each kind that Linear sends. */
export const events: Record<string, unknown>[] = [
  created(),
  created({ commentId: 'comment-1', comment: { id: 'comment-1', body: '@ada look at this' } }),
  prompted(),
  prompted({ signal: 'stop' }),
  { type: 'Comment', action: 'create', organizationId: 'org-1', data: { id: 'c', body: 'x' }, actor: null },
  {
    type: 'AppUserNotification',
    action: 'issueMention',
    organizationId: 'org-1',
    appUserId: 'app-user-1',
    notification: {},
  },
  { type: 'OAuthApp', action: 'revoked', organizationId: 'org-1', oauthClientId: 'client-1' },
  { type: 'PermissionChange', action: 'teamAccessChanged', organizationId: 'org-1', appUserId: 'app-user-1' },
];
