import type { TestServer } from './server.ts';

/** What the workplace page shows, as far as the tests look at it. */
export interface WorkplaceState {
  people: { id: string; name: string }[];
  slack: { channels: { id: string; name: string }[]; threads: SlackThread[] };
  github: { repositories: { owner: string; name: string }[]; issues: GithubIssue[] };
  linear: { issues: LinearIssue[] };
  agent: { name: string; slackHandle: string; githubHandle: string; linearHandle: string; label: string };
}

export interface SlackThread {
  channel: string;
  threadTs: string;
  status?: string;
  messages: {
    ts: string;
    author: { name: string; isBot: boolean };
    text: string;
    buttons?: { label: string; value: string }[];
  }[];
}

export interface GithubIssue {
  owner: string;
  repo: string;
  number: number;
  title: string;
  labels: string[];
  reactions: { name: string; count: number }[];
  comments: { id: string; author: { name: string; isBot: boolean }; body: string }[];
}

export interface LinearIssue {
  id: string;
  identifier: string;
  title: string;
  sessions: { id: string; status: string; activities: { id: string; type: string; body: string }[] }[];
}

export const stateOf = (server: TestServer): Promise<WorkplaceState> =>
  server.workplace<WorkplaceState>('/state');

/** Posts in #general as a person, and answers the thread's root. */
export async function postInSlack(server: TestServer, text: string, threadTs?: string): Promise<string> {
  const state = await stateOf(server);
  const channel = state.slack.channels.find((each) => each.name === 'general')?.id;
  const personId = state.people[0]?.id;
  const posted = await server.workplace<{ ts?: string; message?: { ts: string } }>('/slack/messages', {
    personId,
    channel,
    text,
    ...(threadTs === undefined ? {} : { threadTs }),
  });
  const ts = threadTs ?? posted.ts ?? posted.message?.ts;
  if (!ts) throw new Error(`The workplace did not say where it posted: ${JSON.stringify(posted)}`);
  return ts;
}

/** What the agent wrote in a Slack thread so far. */
export async function agentMessages(server: TestServer, threadTs: string): Promise<string[]> {
  const state = await stateOf(server);
  const thread = state.slack.threads.find((each) => each.threadTs === threadTs);
  return (thread?.messages ?? []).filter((message) => message.author.isBot).map((message) => message.text);
}
