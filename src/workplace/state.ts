import type { GithubSite } from './github/github.ts';
import type { LinearOffice } from './linear/linear.ts';
import { activitiesOf, identifierOf } from './linear/records.ts';
import { people, slugOf } from './seeds.ts';
import type { SlackWorkspace } from './slack/slack.ts';
import { slackThreads, type ThreadView } from './slack/view.ts';

interface Author {
  name: string;
  isBot: boolean;
}

interface ReactionCount {
  name: string;
  count: number;
}

/** The whole workplace as the page shows it. */
export interface WorkplaceState {
  people: { id: string; name: string; avatarInitials: string; isGuest: boolean }[];
  slack: { channels: { id: string; name: string }[]; threads: ThreadView[] };
  github: {
    repositories: { owner: string; name: string }[];
    issues: {
      owner: string;
      repo: string;
      number: number;
      title: string;
      body: string;
      author: Author;
      labels: string[];
      reactions: ReactionCount[];
      comments: { id: number; author: Author; body: string; reactions: ReactionCount[] }[];
    }[];
  };
  linear: {
    issues: {
      id: string;
      identifier: string;
      title: string;
      description: string;
      delegate?: string;
      state: string;
      comments: { id: string; author: Author; body: string }[];
      sessions: {
        id: string;
        status: string;
        unresponsive: boolean;
        activities: { id: string; type: string; body: string; author: Author; createdAt: string }[];
      }[];
    }[];
  };
  agent: { name: string; slackHandle: string; githubHandle: string; linearHandle: string; label: string };
  /** Whether the offline model answers here; a real one is the server's business. */
  model: { offline: boolean };
}

export interface WorkplaceParts {
  agentName: string;
  hasOfflineModel: boolean;
  slack: SlackWorkspace;
  github: GithubSite;
  linear: LinearOffice;
}

/** Takes the state of the three vendors together, oldest first everywhere. */
export function workplaceState(parts: WorkplaceParts, nowMs: number): WorkplaceState {
  const { agentName, slack } = parts;
  const handle = slugOf(agentName);
  // A workplace that was saved by an earlier version has the people of its first day.
  const isHere = (person: { handle: string }) =>
    slack.tables.users().some(({ name }) => name === person.handle);
  return {
    people: people.filter(isHere).map(({ id, name, avatarInitials, standing }) => ({
      id,
      name,
      avatarInitials,
      isGuest: standing === 'guest' || standing === 'external',
    })),
    slack: {
      channels: slack.tables
        .channels()
        .map((channel) => ({ id: channel.channel_id, name: channel.is_im ? `@${handle}` : channel.name })),
      threads: slackThreads(slack, nowMs),
    },
    github: githubState(parts.github),
    linear: linearState(parts.linear),
    agent: {
      name: agentName,
      slackHandle: `@${handle}`,
      githubHandle: `@${handle}`,
      linearHandle: `@${handle}`,
      label: handle,
    },
    model: { offline: parts.hasOfflineModel },
  };
}

function githubState({ tables, reactions }: GithubSite): WorkplaceState['github'] {
  const authorOf = (userId: number): Author => {
    const user = tables.user(userId);
    return {
      name: user?.type === 'Bot' ? user.login : (user?.name ?? user?.login ?? '?'),
      isBot: user?.type === 'Bot',
    };
  };
  const repositories = new Map(
    tables.repositories().map((repository) => [repository.id, repository.full_name]),
  );
  return {
    repositories: [...repositories.values()].map((fullName) => {
      const [owner = '', name = ''] = fullName.split('/');
      return { owner, name };
    }),
    issues: tables.issues().map((issue) => {
      const repository = repositories.get(issue.repo_id) ?? '';
      const [owner = '', repo = ''] = repository.split('/');
      const comments = tables
        .comments()
        .filter((comment) => comment.repo_id === issue.repo_id && comment.issue_number === issue.number);
      return {
        owner,
        repo,
        number: issue.number,
        title: issue.title,
        body: rendered(issue.body ?? ''),
        author: authorOf(issue.user_id),
        labels: issue.label_ids.flatMap((id) => tables.label(id) ?? []),
        reactions: reactions.counts({ kind: 'issues', repository, id: issue.number }),
        comments: comments.map((comment) => ({
          id: comment.id,
          author: authorOf(comment.user_id),
          body: rendered(comment.body),
          reactions: reactions.counts({ kind: 'issues/comments', repository, id: comment.id }),
        })),
      };
    }),
  };
}

/** GitHub shows Markdown without the HTML comments in it. */
function rendered(markdown: string): string {
  return markdown.replace(/<!--[\s\S]*?-->/g, '').trim();
}

function linearState({ records }: LinearOffice): WorkplaceState['linear'] {
  const authorOf = (userId: string): Author => {
    const user = records.users.find(({ id }) => id === userId);
    return { name: user?.name ?? '?', isBot: user?.app ?? false };
  };
  return {
    issues: records.issues.map((issue) => {
      const delegate = issue.delegateId ? authorOf(issue.delegateId).name : undefined;
      return {
        id: issue.id,
        identifier: identifierOf(records, issue),
        title: issue.title,
        description: issue.description ?? '',
        ...(delegate ? { delegate } : {}),
        state: records.states.find(({ id }) => id === issue.stateId)?.name ?? '',
        comments: records.comments
          .filter(({ issueId }) => issueId === issue.id)
          .map(({ id, userId, body }) => ({ id, author: authorOf(userId), body })),
        sessions: records.sessions
          .filter(({ issueId }) => issueId === issue.id)
          .map((session) => ({
            id: session.id,
            status: session.status,
            unresponsive: session.unresponsive,
            activities: activitiesOf(records, session.id).map(({ id, content, userId, createdAt }) => ({
              id,
              type: content.type,
              body: String(content.body ?? [content.action, content.parameter].filter(Boolean).join(' ')),
              author: authorOf(userId),
              createdAt,
            })),
          })),
      };
    }),
  };
}
