import { createCache } from '../cache.ts';
import type { Judgement, ProviderAdapter, ProviderContext } from '../provider.ts';
import { callLinear, isNotFound, linearClient } from './client.ts';

/** What Linear says of somebody, as far as it matters who may instruct the agent. */
export interface LinearPerson {
  id: string;
  name: string;
  isApp: boolean;
  /** Why this person has no authority; undefined when they have. */
  objection: Objection | undefined;
}

export type Objection = Pick<Extract<Judgement, { allowed: false }>, 'kind' | 'detail'>;

export interface LinearPeople {
  /** Asks `user(id)`, or the memory of it. Throws a ProviderError when Linear does not answer. */
  person(context: ProviderContext, userId: string, options?: { fresh?: boolean }): Promise<LinearPerson>;
}

/** People of all installations, each remembered for 5 min; who may not instruct, for 1 min only. */
export function createLinearPeople(now: () => number): LinearPeople {
  const cache = createCache<LinearPerson>({
    ttlMs: (person) => (person.objection ? 60_000 : 300_000),
    maxEntries: 10_000,
    now,
  });
  return {
    person: (context, userId, options) =>
      cache.get(
        `${context.identity.workspaceId}:${context.identity.userId}:${userId}`,
        () => ask(context, userId),
        options,
      ),
  };
}

async function ask(context: ProviderContext, userId: string): Promise<LinearPerson> {
  try {
    const user = await callLinear('the user', () => linearClient(context.fetch).user(userId));
    return {
      id: userId,
      name: user.displayName || user.name || userId,
      isApp: user.app,
      objection: objectionTo(user),
    };
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return {
      id: userId,
      name: userId,
      isApp: false,
      objection: { kind: 'unknown', detail: 'Linear does not know them in this workspace' },
    };
  }
}

function objectionTo(user: { active: boolean; guest: boolean; app: boolean }): Objection | undefined {
  if (user.app) return { kind: 'bot', detail: 'they are an app' };
  if (!user.active) return { kind: 'unknown', detail: 'their account is suspended' };
  if (user.guest) return { kind: 'guest', detail: 'they are a guest of this workspace' };
  return undefined;
}

/** Active members of the workspace have authority; guests and apps have none. */
export function createMayAddress(people: LinearPeople): ProviderAdapter['mayAddress'] {
  return async (context, { author }, options) => {
    if (author.kind !== 'person')
      return { allowed: false, kind: 'bot', detail: 'the author is not a person' };
    const { name, objection } = await people.person(context, author.id, options);
    if (!objection) return { allowed: true };
    return { allowed: false, kind: objection.kind, detail: `${name}: ${objection.detail}` };
  };
}
