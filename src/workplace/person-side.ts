import type { GithubSite } from './github/github.ts';
import type { LinearOffice } from './linear/linear.ts';
import { appUserOf, type UserRecord } from './linear/records.ts';
import type { WorkplaceSecrets } from './secrets.ts';
import { type Person, people, seeds, slugOf } from './seeds.ts';
import { blockActions } from './slack/events.ts';
import type { SlackWorkspace } from './slack/slack.ts';
import { buttonsOf, typed } from './slack/view.ts';

/** Something that a person wanted to do cannot be done; the message says why. */
export class WorkplaceError extends Error {
  override name = 'WorkplaceError';
}

export interface PersonSideOptions {
  agentName: string;
  slack: SlackWorkspace;
  github: GithubSite;
  linear: LinearOffice;
  secrets: WorkplaceSecrets;
}

interface IssueTarget {
  /** The seeded repository where they are left out. */
  owner?: string;
  repo?: string;
  number: number;
  personId: string;
}

/** What people of the workplace do. Every method throws a `WorkplaceError` when it cannot be done. */
export class PersonSide {
  readonly #options: PersonSideOptions;

  constructor(options: PersonSideOptions) {
    this.#options = options;
  }

  /**
   * Posts in Slack. `channel` is an id, a name, or the agent's handle (`@…`) for a direct message; handles in the text
   * become mentions.
   */
  async postSlackMessage(given: {
    personId: string;
    channel: string;
    text: string;
    threadTs?: string;
  }): Promise<{ channel: string; ts: string }> {
    const { slack } = this.#options;
    personOf(given.personId);
    const channel = await this.#channelId(given.personId, given.channel);
    const { ts } = await this.#slack(given.personId, 'chat.postMessage', {
      channel,
      text: typed(slack.tables, given.text),
      ...(given.threadTs ? { thread_ts: given.threadTs } : {}),
    });
    return { channel, ts: String(ts) };
  }

  async addSlackReaction(given: {
    personId: string;
    channel: string;
    ts: string;
    name: string;
  }): Promise<void> {
    const channel = await this.#channelId(given.personId, given.channel);
    await this.#slack(given.personId, 'reactions.add', { channel, timestamp: given.ts, name: given.name });
  }

  /** Presses a button under a message; the agent's app is told. */
  async pressSlackButton(given: {
    personId: string;
    channel: string;
    ts: string;
    value: string;
  }): Promise<void> {
    const { slack } = this.#options;
    const { tables, identity, sender } = slack;
    const channel = await this.#channelId(given.personId, given.channel);
    const message = tables.message(channel, given.ts);
    const button = message && buttonsOf(message).find(({ value }) => value === given.value);
    if (!message || !button) throw new WorkplaceError('There is no such button under that message.');
    const user = tables.users().find(({ name }) => name === personOf(given.personId).handle);
    if (!user) throw new WorkplaceError(`${given.personId} is not in Slack.`);
    const payload = blockActions(identity, {
      user: { id: user.user_id, name: user.real_name },
      message: {
        channel,
        ts: message.ts,
        ...(message.thread_ts ? { threadTs: message.thread_ts } : {}),
      },
      button,
    });
    void sender.send('block_actions', payload, payload.trigger_id);
  }

  async openGithubIssue(given: {
    personId: string;
    owner?: string;
    repo?: string;
    title: string;
    body?: string;
    labels?: string[];
  }): Promise<{ number: number }> {
    const { title, body = '', labels = [] } = given;
    const made = await this.#github(given, 'issues', { title, body, labels });
    return { number: Number(made.number) };
  }

  async labelGithubIssue(given: IssueTarget & { labels: string[] }): Promise<void> {
    await this.#github(given, `issues/${given.number}/labels`, { labels: given.labels });
  }

  async commentGithubIssue(given: IssueTarget & { body: string }): Promise<{ id: number }> {
    const made = await this.#github(given, `issues/${given.number}/comments`, { body: given.body });
    return { id: Number(made.id) };
  }

  /** Makes an issue in Linear and, if wanted, delegates it to the agent. */
  createLinearIssue(given: {
    personId: string;
    title: string;
    description?: string;
    delegate?: boolean;
    agent?: string;
  }) {
    const { desk } = this.#options.linear;
    const user = this.#linearUser(given.personId);
    const description = given.description ?? null;
    const issue = desk.createIssue({ title: given.title, description, creatorId: user.id });
    const session = given.delegate
      ? desk.delegate(issue, user.id, this.#linearAgent(given.agent))
      : undefined;
    const identifier = `${desk.records.team.key}-${issue.number}`;
    return { id: issue.id, identifier, ...(session ? { sessionId: session.id } : {}) };
  }

  /** Delegates an issue, by id or identifier, to the agent. */
  delegateLinearIssue(given: { personId: string; id: string; agent?: string }): { sessionId: string } {
    const { desk } = this.#options.linear;
    const { records } = desk;
    const user = this.#linearUser(given.personId);
    const issue = records.issues.find(
      ({ id, number }) => id === given.id || `${records.team.key}-${number}` === given.id,
    );
    if (!issue) throw new WorkplaceError(`There is no Linear issue ${given.id}.`);
    return { sessionId: desk.delegate(issue, user.id, this.#linearAgent(given.agent)).id };
  }

  /** Writes in an agent session; `stop` asks the agent to stop. */
  promptLinearSession(given: { personId: string; sessionId: string; body: string; stop?: boolean }): {
    id: string;
  } {
    const { desk } = this.#options.linear;
    const user = this.#linearUser(given.personId);
    const session = desk.records.sessions.find(({ id }) => id === given.sessionId);
    if (!session) throw new WorkplaceError(`There is no Linear agent session ${given.sessionId}.`);
    return { id: desk.prompt(session, user.id, given.body, given.stop ? 'stop' : null).id };
  }

  /** The Slack token of a person, for those who drive the API themselves. */
  slackToken(personId: string): string {
    return this.#options.secrets.slack.personTokens[personOf(personId).id] ?? '';
  }

  /** The same for GitHub. */
  githubToken(personId: string): string {
    return this.#options.secrets.github.personTokens[personOf(personId).id] ?? '';
  }

  async #channelId(personId: string, wanted: string): Promise<string> {
    const { slack, agentName } = this.#options;
    if (wanted === `@${slugOf(agentName)}`) {
      const { channel } = await this.#slack(personId, 'conversations.open', {
        users: slack.identity.botUserId,
      });
      return (channel as { id: string }).id;
    }
    const name = wanted.replace(/^#/, '');
    const found = slack.tables
      .channels()
      .find((one) => one.channel_id === wanted || (!one.is_im && one.name === name));
    if (!found) throw new WorkplaceError(`There is no Slack channel ${wanted}.`);
    return found.channel_id;
  }

  async #slack(personId: string, method: string, parameters: Record<string, string>) {
    const { slack, secrets } = this.#options;
    const token = secrets.slack.personTokens[personOf(personId).id];
    const response = await slack.app.request(`/api/${method}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(parameters).toString(),
    });
    const answer = (await response.json()) as Record<string, unknown>;
    if (answer.ok !== true) throw new WorkplaceError(`Slack refused ${method}: ${String(answer.error)}.`);
    return answer;
  }

  async #github(
    given: { personId: string; owner?: string; repo?: string },
    path: string,
    body: unknown,
  ): Promise<Record<string, unknown>> {
    const { github, secrets } = this.#options;
    const { owner = seeds.repository.owner, repo = seeds.repository.name } = given;
    const token = secrets.github.personTokens[personOf(given.personId).id];
    const url = `http://127.0.0.1/repos/${encodeURIComponent(owner)}/${encodeURIComponent(repo)}/${path}`;
    const response = await github.app.request(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as Record<string, unknown>;
    if (!response.ok)
      throw new WorkplaceError(`GitHub refused this: ${String(answer.message)} (${response.status}).`);
    return answer;
  }

  /** The app user of that name; the workplace's own where none is named. */
  #linearAgent(handle: string | undefined): UserRecord {
    const { records } = this.#options.linear;
    if (handle === undefined) return appUserOf(records);
    const wanted = handle.replace(/^@/, '');
    const agent = records.users.find((user) => user.app && user.displayName === wanted);
    if (!agent) throw new WorkplaceError(`There is no agent ${handle} in Linear.`);
    return agent;
  }

  #linearUser(personId: string): UserRecord {
    const { records } = this.#options.linear;
    const user = records.users.find((one) => one.personId === personOf(personId).id);
    if (!user) throw new WorkplaceError(`${personId} is not in Linear.`);
    return user;
  }
}

function personOf(personId: string): Person {
  const person = people.find(({ id }) => id === personId);
  if (person) return person;
  throw new WorkplaceError(
    `There is no person ${personId}; there are ${people.map(({ id }) => id).join(', ')}.`,
  );
}
