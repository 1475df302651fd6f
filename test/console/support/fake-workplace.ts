import { EventEmitter } from 'node:events';
import { type Context, Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import type {
  GithubIssue,
  LinearIssue,
  LinearSession,
  SlackThread,
  WorkplaceState,
} from '../../../console/src/workplace-api.ts';
import { agent, emptyWorkplace } from './workplace-data.ts';

/** A stand-in for the workplace behind its API, whose agent does exactly what a test says. */
export class FakeWorkplace {
  readonly state: WorkplaceState;
  /** Every accepted request, oldest first. */
  readonly received: { path: string; body: Record<string, unknown> }[] = [];
  /** How many streams of changes are open. */
  streams = 0;
  /** When set, every request whose path contains `path` is refused like this. */
  refuse: { path: string; status: 400 | 401 | 404 | 500; message?: string } | undefined;
  private readonly changes = new EventEmitter().setMaxListeners(0);
  private clockMs = Date.now();

  constructor(state: WorkplaceState = emptyWorkplace()) {
    this.state = state;
  }

  /** Announces that the state has changed. */
  changed(): void {
    this.changes.emit('changed');
  }

  /** Ends every open stream, as a restart of the server would. */
  cutStreams(): void {
    this.changes.emit('cut');
  }

  /** The newest Slack thread. */
  thread(): SlackThread {
    return last(this.state.slack.threads, 'Slack thread');
  }

  /** The newest GitHub issue. */
  issue(): GithubIssue {
    return last(this.state.github.issues, 'GitHub issue');
  }

  /** The newest agent session on the newest Linear issue. */
  session(): LinearSession {
    return last(last(this.state.linear.issues, 'Linear issue').sessions, 'Linear session');
  }

  /** The agent answers in the newest Slack thread. */
  answerInSlack(text: string): void {
    const thread = this.thread();
    delete thread.status;
    thread.messages.push({ ts: this.ts(), author: { name: agent.name, isBot: true }, text, reactions: [] });
    this.changed();
  }

  /** The agent comments on the newest GitHub issue. */
  answerInGithub(body: string): void {
    const { comments } = this.issue();
    comments.push({
      id: comments.length + 1,
      author: { name: 'ada[bot]', isBot: true },
      body,
      reactions: [],
    });
    this.changed();
  }

  /** The agent says or does something in the newest Linear session, which takes the status given. */
  actInLinear(status: string, type: string, body: string): void {
    const session = this.session();
    session.status = status;
    session.unresponsive = false;
    this.addActivity(session, type, body, { name: agent.name, isBot: true });
    this.changed();
  }

  /** The API as a Hono app, to be mounted at `/workplace/api`. */
  api(): Hono {
    const app = new Hono();
    app.use(async (c, next) => {
      const { refuse } = this;
      if (!refuse || !c.req.path.includes(refuse.path)) return next();
      if (refuse.message === undefined) return c.text('nothing in particular', refuse.status);
      return c.json({ type: 'error', error: { type: 'some_error', message: refuse.message } }, refuse.status);
    });
    app.get('/state', (c) => c.json(this.state));
    app.get('/events', (c) => this.stream(c));
    app.post('/slack/messages', (c) => this.act(c, (body) => this.addMessage(body)));
    app.post('/slack/buttons', (c) => this.act(c, () => undefined));
    app.post('/github/issues', (c) => this.act(c, (body) => this.addGithubIssue(body)));
    app.post('/github/issues/:number/labels', (c) =>
      this.act(c, (body) => this.issue().labels.push(...strings(body.labels))),
    );
    app.post('/github/issues/:number/comments', (c) =>
      this.act(c, (body) => {
        const { comments } = this.issue();
        const author = { name: this.nameOf(body.personId), isBot: false };
        comments.push({ id: comments.length + 1, author, body: String(body.body), reactions: [] });
      }),
    );
    app.post('/linear/issues', (c) => this.act(c, (body) => this.addLinearIssue(body)));
    app.post('/linear/issues/:id/delegate', (c) => this.act(c, () => this.delegate(c.req.param('id') ?? '')));
    app.post('/linear/sessions/:id/prompts', (c) =>
      this.act(c, (body) => {
        const session = this.session();
        session.status = 'active';
        const author = { name: this.nameOf(body.personId), isBot: false };
        this.addActivity(session, 'prompt', String(body.body), author);
      }),
    );
    return app;
  }

  private async act(c: Context, change: (body: Record<string, unknown>) => unknown): Promise<Response> {
    const body = await c.req.json();
    this.received.push({ path: c.req.path.replace('/workplace/api', ''), body });
    const made = change(body);
    this.changed();
    return c.json(made !== null && typeof made === 'object' ? made : {});
  }

  private stream(c: Context): Response {
    return streamSSE(c, async (stream) => {
      this.streams += 1;
      const send = () => void stream.writeSSE({ event: 'changed', data: '' });
      this.changes.on('changed', send);
      await new Promise<void>((resolve) => {
        stream.onAbort(resolve);
        this.changes.once('cut', resolve);
      });
      this.changes.off('changed', send);
      this.streams -= 1;
    });
  }

  private addMessage(body: Record<string, unknown>): void {
    const ts = this.ts();
    const author = { name: this.nameOf(body.personId), isBot: false };
    const message = { ts, author, text: String(body.text), reactions: [] };
    const thread = this.state.slack.threads.find(({ threadTs }) => threadTs === body.threadTs);
    if (thread) thread.messages.push(message);
    else this.state.slack.threads.push({ channel: String(body.channel), threadTs: ts, messages: [message] });
  }

  private addGithubIssue(body: Record<string, unknown>): { number: number } {
    const { issues } = this.state.github;
    const number = issues.length + 1;
    issues.push({
      owner: String(body.owner),
      repo: String(body.repo),
      number,
      title: String(body.title),
      body: String(body.body),
      author: { name: this.nameOf(body.personId), isBot: false },
      labels: strings(body.labels),
      reactions: [],
      comments: [],
    });
    return { number };
  }

  private addLinearIssue(body: Record<string, unknown>): { id: string } {
    const { issues } = this.state.linear;
    const id = `issue-${issues.length + 1}`;
    const issue: LinearIssue = {
      id,
      identifier: `ENG-${issues.length + 1}`,
      title: String(body.title),
      description: String(body.description),
      state: 'Todo',
      comments: [],
      sessions: [],
    };
    issues.push(issue);
    if (body.delegate === true) this.delegate(id);
    return { id };
  }

  private delegate(id: string): void {
    const issue = this.state.linear.issues.find((candidate) => candidate.id === id);
    if (!issue) return;
    issue.delegate = agent.name;
    issue.sessions.push({
      id: `${id}-session-${issue.sessions.length + 1}`,
      status: 'pending',
      unresponsive: false,
      activities: [],
    });
  }

  private addActivity(
    session: LinearSession,
    type: string,
    body: string,
    author: { name: string; isBot: boolean },
  ): void {
    const id = `${session.id}-${session.activities.length + 1}`;
    session.activities.push({ id, type, body, author, createdAt: new Date(this.clockMs).toISOString() });
  }

  private nameOf(personId: unknown): string {
    return this.state.people.find(({ id }) => id === personId)?.name ?? 'nobody';
  }

  private ts(): string {
    this.clockMs += 1000;
    return `${Math.floor(this.clockMs / 1000)}.000100`;
  }
}

function last<T>(list: T[], what: string): T {
  const item = list.at(-1);
  if (item === undefined) throw new Error(`There is no ${what} yet.`);
  return item;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
