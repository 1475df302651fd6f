import { createPeople, type Objection, type People, type Person } from '../people.ts';
import type { ProviderContext } from '../provider.ts';
import { callSlack, slackClient, slackErrorName } from './client.ts';

/** People of Slack, asked for by `users.info`. */
export const createSlackPeople = (now: () => number): People => createPeople(now, ask);

async function ask(context: ProviderContext, userId: string): Promise<Person> {
  const unknown: Person = {
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

/** Full members of the installing workspace have authority; nobody else has. */
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
