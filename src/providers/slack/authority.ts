import { createCache } from '../cache.ts';
import type { Judgement, ProviderAdapter, ProviderContext } from '../provider.ts';
import { callSlack, slackClient, slackErrorName } from './client.ts';

/** What Slack says of somebody, as far as it matters who may instruct the agent. */
export interface SlackPerson {
  id: string;
  name: string;
  isBot: boolean;
  /** Why this person has no authority; undefined when they have. */
  objection: Objection | undefined;
}

export type Objection = Pick<Extract<Judgement, { allowed: false }>, 'kind' | 'detail'>;

export interface SlackPeople {
  /** Asks `users.info`, or the memory of it. Throws a ProviderError when Slack does not answer. */
  person(context: ProviderContext, userId: string, options?: { fresh?: boolean }): Promise<SlackPerson>;
}

/** People of all installations, each remembered for 5 min; who may not instruct, for 1 min only. */
export function createSlackPeople(now: () => number): SlackPeople {
  const cache = createCache<SlackPerson>({
    ttlMs: (person) => (person.objection ? 60_000 : 300_000),
    maxEntries: 10_000,
    now,
  });
  return {
    person(context, userId, options) {
      const { workspaceId, userId: botUserId } = context.identity;
      return cache.get(`${workspaceId}:${botUserId}:${userId}`, () => ask(context, userId), options);
    },
  };
}

async function ask(context: ProviderContext, userId: string): Promise<SlackPerson> {
  const unknown: SlackPerson = {
    id: userId,
    name: userId,
    isBot: false,
    objection: { kind: 'unknown', detail: 'Slack does not know them' },
  };
  try {
    const { user } = await callSlack('users.info', () =>
      slackClient(context.fetch).users.info({ user: userId }),
    );
    if (!user || user.id !== userId) return unknown;
    const name =
      user.profile?.display_name || user.profile?.real_name || user.real_name || user.name || userId;
    const isBot = Boolean(user.is_bot || user.is_workflow_bot || user.is_connector_bot);
    return { id: userId, name, isBot, objection: objectionTo(user, isBot, context.identity.workspaceId) };
  } catch (error) {
    const name = slackErrorName(error);
    if (name === 'user_not_found' || name === 'user_not_visible' || name === 'users_not_found')
      return unknown;
    throw error;
  }
}

interface SlackUserFlags {
  deleted?: boolean;
  is_restricted?: boolean;
  is_ultra_restricted?: boolean;
  is_stranger?: boolean;
  team_id?: string;
  enterprise_user?: { teams?: string[] };
}

function objectionTo(user: SlackUserFlags, isBot: boolean, workspaceId: string): Objection | undefined {
  if (user.deleted) return { kind: 'unknown', detail: 'their account is deactivated' };
  if (isBot) return { kind: 'bot', detail: 'they are a bot' };
  if (user.is_stranger) {
    return { kind: 'external', detail: 'they are from another organization (Slack Connect)' };
  }
  const isMember = user.team_id === workspaceId || user.enterprise_user?.teams?.includes(workspaceId);
  if (!isMember)
    return { kind: 'external', detail: 'they are not a member of this workspace (Slack Connect)' };
  if (user.is_restricted || user.is_ultra_restricted) {
    return { kind: 'guest', detail: 'they are a guest of this workspace' };
  }
  return undefined;
}

/** Full members of the installing workspace have authority; nobody else has. */
export function createMayAddress(people: SlackPeople): ProviderAdapter['mayAddress'] {
  return async (context, { author }, options) => {
    if (author.kind !== 'person')
      return { allowed: false, kind: 'bot', detail: 'the author is not a person' };
    const { name, objection } = await people.person(context, author.id, options);
    if (!objection) return { allowed: true };
    return { allowed: false, kind: objection.kind, detail: `${name}: ${objection.detail}` };
  };
}
