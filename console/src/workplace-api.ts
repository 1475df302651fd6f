/** The contract of `/workplace/api`: what the page reads and what a person can do there. Mirrors `src/workplace`. */

export interface Person {
  id: string;
  name: string;
  avatarInitials: string;
  /** An outsider, whom the agent does not obey by default. */
  isGuest: boolean;
}

export interface Author {
  name: string;
  isBot: boolean;
}

export interface Reaction {
  /** `eyes`, `+1`, `white_check_mark` …: the provider's own name, without colons. */
  name: string;
  count: number;
}

export interface SlackChannel {
  id: string;
  name: string;
}

export interface SlackMessage {
  /** Seconds since the epoch with six decimals, as Slack writes it; also the message's id. */
  ts: string;
  author: Author;
  /** As a reader sees it: mentions by handle, links as text, Slack's escapes undone. */
  text: string;
  reactions: Reaction[];
  /** What can be pressed under it; left out where there is nothing. */
  buttons?: SlackButton[];
}

export interface SlackButton {
  label: string;
  /** What pressing it sends. */
  value: string;
}

export interface SlackThread {
  /** Id of the channel. */
  channel: string;
  threadTs: string;
  /** What the agent does there right now, as `is working…`. */
  status?: string;
  /** The first message and its replies, oldest first. */
  messages: SlackMessage[];
}

export interface GithubComment {
  id: number;
  author: Author;
  body: string;
  reactions: Reaction[];
}

export interface GithubIssue {
  owner: string;
  repo: string;
  number: number;
  title: string;
  body: string;
  author: Author;
  labels: string[];
  reactions: Reaction[];
  comments: GithubComment[];
}

export interface LinearActivity {
  id: string;
  /** `thought`, `action`, `elicitation`, `response`, `error` or, from a person, `prompt`. */
  type: string;
  body: string;
  author: Author;
  /** ISO 8601. */
  createdAt: string;
}

export interface LinearSession {
  id: string;
  /** `pending`, `active`, `awaitingInput`, `complete`, `error`, `stale` or `stopping`. */
  status: string;
  /** Set when the agent gave no sign within ten seconds, until it does. */
  unresponsive: boolean;
  /** Oldest first. */
  activities: LinearActivity[];
}

export interface LinearComment {
  id: string;
  author: Author;
  body: string;
}

export interface LinearIssue {
  id: string;
  identifier: string;
  title: string;
  description: string;
  /** Name of the agent that the issue is delegated to. */
  delegate?: string;
  /** Name of the workflow state. */
  state: string;
  comments: LinearComment[];
  sessions: LinearSession[];
}

/** The handles come with their `@`. */
export interface Agent {
  name: string;
  slackHandle: string;
  githubHandle: string;
  linearHandle: string;
  /** The GitHub label that wakes the agent. */
  label: string;
}

export interface WorkplaceState {
  people: Person[];
  /** A channel named `@…` is a direct message. */
  slack: { channels: SlackChannel[]; threads: SlackThread[] };
  github: { repositories: { owner: string; name: string }[]; issues: GithubIssue[] };
  linear: { issues: LinearIssue[] };
  agent: Agent;
  model: { offline: boolean };
}

/** `github/issues` and `linear/issues` answer with what was made, so that the page can open it. */
export interface Created {
  number?: number;
  id?: string;
}

export interface ErrorBody {
  type: 'error';
  error: { type: string; message: string };
}
