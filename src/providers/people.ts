import { createCache } from './cache.ts';
import type { Judgement, ProviderAdapter, ProviderContext } from './provider.ts';

/** Why somebody has no authority. */
export type Objection = Pick<Extract<Judgement, { allowed: false }>, 'kind' | 'detail'>;

/** What a provider says of somebody by their id alone, as far as it matters who may instruct the agent. */
export interface Person {
  id: string;
  name: string;
  isBot: boolean;
  /** Undefined when they have authority. */
  objection: Objection | undefined;
}

export interface People {
  /** Asks the provider, or the memory of it. Throws a ProviderError when it does not answer. */
  person(context: ProviderContext, userId: string, options?: { fresh?: boolean }): Promise<Person>;
}

/** People of all installations of a provider, each remembered for 5 min; who may not instruct, for 1 min only. */
export function createPeople(
  now: () => number,
  ask: (context: ProviderContext, userId: string) => Promise<Person>,
): People {
  const cache = createCache<Person>({
    ttlMs: (person) => (person.objection ? 60_000 : 300_000),
    maxEntries: 10_000,
    now,
  });
  return {
    person(context, userId, options) {
      const { workspaceId, userId: ownUserId } = context.identity;
      return cache.get(`${workspaceId}:${ownUserId}:${userId}`, () => ask(context, userId), options);
    },
  };
}

/** Whoever the provider has nothing against has authority. */
export function mayAddressBy(people: People): ProviderAdapter['mayAddress'] {
  return async (context, { author }, options) => {
    if (author.kind !== 'person')
      return { allowed: false, kind: 'bot', detail: 'the author is not a person' };
    const { name, objection } = await people.person(context, author.id, options);
    if (!objection) return { allowed: true };
    return { allowed: false, kind: objection.kind, detail: `${name}: ${objection.detail}` };
  };
}
