import { createPeople, type Objection, type People, type Person } from '../people.ts';
import type { ProviderContext } from '../provider.ts';
import { callLinear, isNotFound, linearClient } from './client.ts';

/** People of Linear, asked for by `user(id)`. */
export const createLinearPeople = (now: () => number): People => createPeople(now, ask);

async function ask(context: ProviderContext, userId: string): Promise<Person> {
  try {
    const user = await callLinear('the user', () => linearClient(context.fetch).user(userId));
    return {
      id: userId,
      name: user.displayName || user.name || userId,
      isBot: user.app,
      objection: objectionTo(user),
    };
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return {
      id: userId,
      name: userId,
      isBot: false,
      objection: { kind: 'unknown', detail: 'Linear does not know them in this workspace' },
    };
  }
}

/** Active members of the workspace have authority; guests and apps have none. */
function objectionTo(user: { active: boolean; guest: boolean; app: boolean }): Objection | undefined {
  if (user.app) return { kind: 'bot', detail: 'they are an app' };
  if (!user.active) return { kind: 'unknown', detail: 'their account is suspended' };
  if (user.guest) return { kind: 'guest', detail: 'they are a guest of this workspace' };
  return undefined;
}
