import { createCache } from '../cache.ts';
import type { ProviderAdapter, ProviderContext } from '../provider.ts';
import { callSlack, slackClient, slackErrorName } from './client.ts';

/** What Slack says of somebody, as far as it matters who may instruct the agent. */
export interface SlackPerson {
  id: string;
  name: string;
  isBot: boolean;
  /** Why this person may not instruct the agent; undefined when they may. */
  objection: string | undefined;
}

export interface SlackPeople {
  /** Asks `users.info`, or the memory of it. Throws a ProviderError when Slack does not answer. */
  person(context: ProviderContext, userId: string): Promise<SlackPerson>;
}

/** People of all installations, each remembered for 5 min; who may not instruct, for 1 min only. */
export function createSlackPeople(now: () => number): SlackPeople {
  const cache = createCache<SlackPerson>({
    ttlMs: (person) => (person.objection ? 60_000 : 300_000),
    maxEntries: 10_000,
    now,
  });
  return {
    person(context, userId) {
      const { workspaceId, userId: botUserId } = context.identity;
      return cache.get(`${workspaceId}:${botUserId}:${userId}`, () => ask(context, userId));
    },
  };
}

async function ask(context: ProviderContext, userId: string): Promise<SlackPerson> {
  const unknown: SlackPerson = {
    id: userId,
    name: userId,
    isBot: false,
    objection: 'Slack does not know them',
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

function objectionTo(user: SlackUserFlags, isBot: boolean, workspaceId: string): string | undefined {
  if (user.deleted) return 'their account is deactivated';
  if (isBot) return 'they are a bot';
  if (user.is_stranger) return 'they are from another organization (Slack Connect)';
  const isMember = user.team_id === workspaceId || user.enterprise_user?.teams?.includes(workspaceId);
  if (!isMember) return 'they are not a member of this workspace (Slack Connect)';
  if (user.is_restricted || user.is_ultra_restricted) return 'they are a guest of this workspace';
  return undefined;
}

/** Full members of the installing workspace may instruct the agent; nobody else may. */
export function createMayAddress(people: SlackPeople): ProviderAdapter['mayAddress'] {
  return async (context, signal) => {
    if (signal.author.kind !== 'person') return { allowed: false, detail: 'the author is not a person' };
    const { name, objection } = await people.person(context, signal.author.id);
    return objection ? { allowed: false, detail: `${name}: ${objection}` } : { allowed: true };
  };
}
