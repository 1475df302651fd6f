import type {
  Agent,
  GithubIssue,
  LinearSession,
  Reaction,
  SlackThread,
  WorkplaceState,
} from './workplace-api.ts';

/** What the agent does about the last thing that it was asked in one place. */
export interface Presence {
  /** Identifies what was asked and has no answer yet; undefined when there is nothing. */
  asked: string | undefined;
  /** In words, as `is working…`; undefined when the agent shows no sign. */
  working: string | undefined;
}

const idle: Presence = { asked: undefined, working: undefined };
const workingWords = 'is working…';
const longAgoMs = 10 * 60_000;

/** The agent in a Slack thread. What was asked over ten minutes ago no longer waits: the agent chose not to answer. */
export function slackPresence(thread: SlackThread, agent: Agent, nowMs: number): Presence {
  const asked = unanswered(
    thread.messages.map((message) => ({
      key: message.ts,
      bot: message.author.isBot,
      addressed: mentions(message.text, agent.slackHandle),
      reactions: message.reactions,
    })),
  );
  const words = thread.status?.trim() || (asked?.seen ? workingWords : undefined);
  const old = asked !== undefined && nowMs - Number(asked.key) * 1000 > longAgoMs;
  return { asked: old ? undefined : asked?.key, working: words };
}

/** The agent on a GitHub issue, woken by its label or by an @mention. */
export function githubPresence(issue: GithubIssue, agent: Agent): Presence {
  const labelled = issue.labels.includes(agent.label);
  const asked = unanswered([
    {
      key: 'issue',
      bot: false,
      addressed: labelled || mentions(issue.body, agent.githubHandle),
      reactions: issue.reactions,
    },
    ...issue.comments.map((comment) => ({
      key: String(comment.id),
      bot: comment.author.isBot,
      addressed: mentions(comment.body, agent.githubHandle),
      reactions: comment.reactions,
    })),
  ]);
  return asked === undefined ? idle : { asked: asked.key, working: asked.seen ? workingWords : undefined };
}

/** The agent in a Linear agent session, whose status Linear derives from the agent's activities. */
export function linearPresence(session: LinearSession): Presence {
  const last = session.activities.at(-1);
  if (session.status === 'pending') return { asked: last?.id ?? session.id, working: undefined };
  if (session.status === 'stopping') return { asked: undefined, working: 'is stopping…' };
  if (session.status === 'active') return { asked: last?.id ?? session.id, working: workingWords };
  return idle;
}

/** The names of the tools in which the agent works right now. */
export function workingIn(state: WorkplaceState): string[] {
  const places: string[] = [];
  const { agent } = state;
  if (state.slack.threads.some((thread) => slackPresence(thread, agent, Date.now()).working))
    places.push('Slack');
  if (state.github.issues.some((issue) => githubPresence(issue, agent).working)) places.push('GitHub');
  const sessions = state.linear.issues.flatMap((issue) => issue.sessions);
  if (sessions.some((session) => linearPresence(session).working)) places.push('Linear');
  return places;
}

interface Entry {
  key: string;
  bot: boolean;
  addressed: boolean;
  reactions: Reaction[];
}

function unanswered(entries: Entry[]): { key: string; seen: boolean } | undefined {
  const lastAnswer = entries.findLastIndex((entry) => entry.bot);
  const open = entries.slice(lastAnswer + 1).filter((entry) => entry.addressed);
  const asked = open.at(-1);
  if (asked === undefined) return undefined;
  return { key: asked.key, seen: open.some((entry) => entry.reactions.some(({ name }) => name === 'eyes')) };
}

function mentions(text: string, handle: string): boolean {
  return text.toLowerCase().includes(handle.toLowerCase());
}
