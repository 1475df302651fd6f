import { type ConnectionArguments, connection } from './connection.ts';
import type { LinearDesk } from './desk.ts';
import type { RootFields } from './graphql.ts';
import { lookup, lookupIssue } from './lookup.ts';
import { activitiesOf, type UserRecord } from './records.ts';
import { viewsOf } from './views.ts';

type Given = Record<string, unknown>;

/** The fields of Query that the stand-in serves, to one app user. */
export function queryFields(desk: LinearDesk, actor: UserRecord): RootFields {
  const { records } = desk;
  const views = viewsOf(records);
  const list =
    <Shape, View extends { id: string; createdAt: string; updatedAt: string }>(
      all: readonly Shape[],
      view: (record: Shape) => View,
    ) =>
    (given: Given) =>
      connection(all.map(view), given as ConnectionArguments);
  return {
    viewer: () => views.user(actor),
    organization: () => views.organization(),
    user: ({ id }) => views.user(lookup(records.users, id, 'User')),
    users: list(records.users, views.user),
    team: ({ id }) => {
      lookup([records.team], id === records.team.key ? records.team.id : id, 'Team');
      return views.team();
    },
    teams: (given) => connection([views.team()], given as ConnectionArguments),
    workflowState: ({ id }) => views.state(lookup(records.states, id, 'WorkflowState')),
    workflowStates: list(records.states, views.state),
    issueLabel: ({ id }) => views.label(lookup(records.labels, id, 'IssueLabel')),
    issueLabels: list(records.labels, views.label),
    issue: ({ id }) => views.issue(lookupIssue(records, id)),
    issues: list(records.issues, views.issue),
    comment: ({ id }) => views.comment(lookup(records.comments, id, 'Comment')),
    comments: list(records.comments, views.comment),
    agentSession: ({ id }) => views.session(lookup(records.sessions, id, 'AgentSession')),
    agentSessions: list(records.sessions, views.session),
    agentActivity: ({ id }) => views.activity(lookup(records.activities, id, 'AgentActivity')),
    agentActivities: (given) => {
      const all = records.sessions.flatMap(({ id }) => activitiesOf(records, id));
      return connection(all.map(views.activity), given as ConnectionArguments);
    },
  };
}
