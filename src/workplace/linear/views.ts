import { type ConnectionArguments, connection } from './connection.ts';
import {
  type ActivityRecord,
  activitiesOf,
  type CommentRecord,
  type IssueRecord,
  identifierOf,
  type LabelRecord,
  type LinearRecords,
  type SessionRecord,
  type StateRecord,
  sessionAgentOf,
  type UserRecord,
} from './records.ts';

const siteUrl = 'https://linear.app';

/**
 * The records as GraphQL objects: fields under Linear's names, relations looked up when they are asked for, lists as
 * connections. What a view leaves out is empty, see `emptyValue`.
 */
export function viewsOf(records: LinearRecords) {
  const urlOf = (path: string) => `${siteUrl}/${records.organization.urlKey}/${path}`;
  const find = <Shape extends { id: string }>(all: readonly Shape[], id: string | null) =>
    all.find((record) => record.id === id);

  const views = {
    organization: () => ({
      __typename: 'Organization',
      ...records.organization,
      userCount: records.users.length,
      users: (given: ConnectionArguments) => connection(records.users.map(views.user), given),
      teams: (given: ConnectionArguments) => connection([views.team()], given),
    }),
    team: () => ({
      __typename: 'Team',
      ...records.team,
      displayName: records.team.name,
      issueCount: records.issues.length,
      get organization() {
        return views.organization();
      },
      states: (given: ConnectionArguments) => connection(records.states.map(views.state), given),
      labels: (given: ConnectionArguments) => connection(records.labels.map(views.label), given),
      issues: (given: ConnectionArguments) => connection(records.issues.map(views.issue), given),
      members: (given: ConnectionArguments) => connection(records.users.map(views.user), given),
    }),
    user: (user: UserRecord) => ({
      __typename: 'User',
      ...user,
      active: true,
      isMe: user.app,
      isAssignable: true,
      isMentionable: true,
      initials: user.name.slice(0, 2).toUpperCase(),
      url: urlOf(`profiles/${user.displayName}`),
      get organization() {
        return views.organization();
      },
      teams: (given: ConnectionArguments) => connection([views.team()], given),
    }),
    state: (state: StateRecord) => ({
      __typename: 'WorkflowState',
      ...state,
      get team() {
        return views.team();
      },
    }),
    label: (label: LabelRecord) => ({
      __typename: 'IssueLabel',
      ...label,
      get team() {
        return views.team();
      },
    }),
    issue: (issue: IssueRecord) => ({
      __typename: 'Issue',
      ...issue,
      identifier: identifierOf(records, issue),
      url: urlOf(`issue/${identifierOf(records, issue)}`),
      branchName: `${identifierOf(records, issue).toLowerCase()}`,
      priorityLabel: ['No priority', 'Urgent', 'High', 'Medium', 'Low'][issue.priority] ?? 'No priority',
      get team() {
        return views.team();
      },
      get state() {
        return optional(find(records.states, issue.stateId), views.state);
      },
      get creator() {
        return optional(find(records.users, issue.creatorId), views.user);
      },
      get assignee() {
        return optional(find(records.users, issue.assigneeId), views.user);
      },
      get delegate() {
        return optional(find(records.users, issue.delegateId), views.user);
      },
      labels: (given: ConnectionArguments) =>
        connection(records.labels.filter(({ id }) => issue.labelIds.includes(id)).map(views.label), given),
      comments: (given: ConnectionArguments) =>
        connection(records.comments.filter(({ issueId }) => issueId === issue.id).map(views.comment), given),
      agentSessions: (given: ConnectionArguments) =>
        connection(records.sessions.filter(({ issueId }) => issueId === issue.id).map(views.session), given),
    }),
    comment: (comment: CommentRecord): Record<string, unknown> & CommentRecord => ({
      __typename: 'Comment',
      ...comment,
      url: urlOf(`comment/${comment.id}`),
      get issue() {
        return optional(find(records.issues, comment.issueId), views.issue);
      },
      get user() {
        return optional(find(records.users, comment.userId), views.user);
      },
      get parent() {
        return optional(find(records.comments, comment.parentId), views.comment);
      },
      get agentSession() {
        return optional(find(records.sessions, comment.agentSessionId), views.session);
      },
      children: (given: ConnectionArguments) =>
        connection(
          records.comments.filter(({ parentId }) => parentId === comment.id).map(views.comment),
          given,
        ),
    }),
    session: (session: SessionRecord): Record<string, unknown> & SessionRecord => ({
      __typename: 'AgentSession',
      ...session,
      slugId: session.id.slice(0, 12),
      type: 'commentThread',
      context: [],
      externalLinks: session.externalUrls,
      externalLink: session.externalUrls[0]?.url ?? null,
      url: urlOf(`agent-session/${session.id}`),
      get issue() {
        return optional(find(records.issues, session.issueId), views.issue);
      },
      get comment() {
        return optional(find(records.comments, session.commentId), views.comment);
      },
      get creator() {
        return optional(find(records.users, session.creatorId), views.user);
      },
      get appUser() {
        return views.user(sessionAgentOf(records, session));
      },
      activities: (given: ConnectionArguments) =>
        connection(activitiesOf(records, session.id).map(views.activity), given),
    }),
    activity: (activity: ActivityRecord): Record<string, unknown> & ActivityRecord => ({
      ...activity,
      __typename: 'AgentActivity',
      content: { ...activity.content, __typename: contentTypes[activity.content.type] } as never,
      get agentSessionId() {
        return activity.sessionId;
      },
      get agentSession() {
        return optional(find(records.sessions, activity.sessionId), views.session);
      },
      get user() {
        return optional(find(records.users, activity.userId), views.user);
      },
      get sourceComment() {
        return optional(find(records.comments, activity.sourceCommentId), views.comment);
      },
    }),
  };
  return views;
}

export type Views = ReturnType<typeof viewsOf>;

const contentTypes: Record<ActivityRecord['content']['type'], string> = {
  thought: 'AgentActivityThoughtContent',
  action: 'AgentActivityActionContent',
  elicitation: 'AgentActivityElicitationContent',
  response: 'AgentActivityResponseContent',
  error: 'AgentActivityErrorContent',
  prompt: 'AgentActivityPromptContent',
};

function optional<Found, View>(found: Found | undefined, view: (record: Found) => View): View | null {
  return found === undefined ? null : view(found);
}
