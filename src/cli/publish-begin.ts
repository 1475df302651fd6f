import { type Api, ApiRefusal } from './api.ts';
import type { Provider, PublishOptions } from './publish-options.ts';

interface Publication {
  id: string;
  name: string;
  state: string;
  guided: boolean;
  owner: string | null;
  emulated: boolean;
}
interface Agent {
  id: string;
  name: string;
}

/**
 * The publication that a command is about: the one that the same command began earlier, so that a command which was cut
 * off goes on where it was, else a new one. Throws an ApiRefusal where there is no such agent.
 */
export async function beginPublication(
  api: Api,
  provider: Provider,
  options: PublishOptions,
): Promise<{ id: string; isEarlier: boolean }> {
  const { data } = await api.get<{ data: Agent[] }>('/v1/agents?limit=100');
  const agent = options.agent
    ? data.find(({ id, name }) => id === options.agent || name === options.agent)
    : data[0];
  if (!agent) {
    const known = data.map(({ name, id }) => `${name} (${id})`).join(', ');
    throw new ApiRefusal(`There is no agent ${options.agent ?? 'yet'}. There are: ${known || 'none'}.`);
  }
  const earlier = options.new ? undefined : await findEarlier(api, provider, agent, options);
  if (earlier) return { id: earlier.id, isEarlier: true };
  const made = await api.post<{ id: string }>('/v1/publications', {
    provider,
    agent_id: agent.id,
    ...(options.name ? { name: options.name } : {}),
    ...(options.owner ? { owner: options.owner } : {}),
    ...(options.workplace ? { emulated: true } : {}),
  });
  return { id: made.id, isEarlier: false };
}

/** What the same words made before and nobody has ended: what is unfinished before what is live, the newest first. */
async function findEarlier(
  api: Api,
  provider: Provider,
  agent: Agent,
  options: PublishOptions,
): Promise<Publication | undefined> {
  const same: Publication[] = [];
  let page: string | null = null;
  do {
    const query = new URLSearchParams({ provider, agent_id: agent.id, limit: '100' });
    if (page !== null) query.set('page', page);
    const answer: { data: Publication[]; next_page: string | null } = await api.get(
      `/v1/publications?${query}`,
    );
    same.push(
      ...answer.data.filter(
        (each) =>
          each.guided &&
          each.state !== 'unpublished' &&
          each.name === (options.name ?? agent.name) &&
          each.owner === (options.owner ?? null) &&
          each.emulated === (options.workplace ?? false),
      ),
    );
    page = answer.next_page;
  } while (page !== null);
  return same.find(({ state }) => state !== 'live') ?? same[0];
}
