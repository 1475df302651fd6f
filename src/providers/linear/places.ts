import type { Audience } from '../../store/schema.ts';
import { createCache } from '../cache.ts';
import type { People } from '../people.ts';
import type { Place, ProviderAdapter, ProviderContext } from '../provider.ts';
import { callLinear, linearClient } from './client.ts';

type PlaceRules = Required<Pick<ProviderAdapter, 'audience' | 'canSee' | 'writerOf'>>;

const rememberedMs = 60_000;
const pageSize = 250;
const maxPages = 20;

/** Who sees an issue and who wrote it, by Linear's own word. What is about no issue is seen by the workspace. */
export function linearPlaces(people: People, now: () => number): PlaceRules {
  const known = createCache<Audience>({ ttlMs: () => rememberedMs, maxEntries: 5_000, now });
  const audience: PlaceRules['audience'] = (context, { issue_id }) => {
    if (!issue_id) return Promise.resolve('workspace');
    const { workspaceId, userId } = context.identity;
    return known.get(`${workspaceId}:${userId}:${issue_id}`, async () => {
      const team = await teamOf(context, issue_id);
      return !team || team.private ? 'private' : 'workspace';
    });
  };
  return {
    audience,
    async canSee(context, { author }, place) {
      if (author.kind !== 'person') return false;
      const { objection } = await people.person(context, author.id, { fresh: true });
      if (objection && objection.kind !== 'guest') return false;
      // A guest sees the teams that they are in, and no others.
      if (!objection && (await audience(context, place)) !== 'private') return true;
      return isTeamMember(context, place, author.id);
    },
    async writerOf(context, { place }) {
      const { issue_id } = place;
      if (!issue_id) return undefined;
      const issue = await callLinear('the issue', () => linearClient(context.fetch).issue(issue_id));
      const { creatorId } = issue;
      if (!creatorId) return undefined;
      const { name, isBot } = await people.person(context, creatorId);
      return { author: { id: creatorId, name, kind: isBot ? 'bot' : 'person' } };
    },
  };
}

const teamOf = ({ fetch }: ProviderContext, issueId: string) =>
  callLinear('the team', async () => (await linearClient(fetch).issue(issueId)).team);

async function isTeamMember(
  context: ProviderContext,
  { issue_id }: Place,
  personId: string,
): Promise<boolean> {
  const team = issue_id ? await teamOf(context, issue_id) : undefined;
  let after: string | undefined;
  for (let page = 0; team && page < maxPages; page++) {
    const { nodes, pageInfo } = await callLinear('the members of the team', () =>
      team.members({ first: pageSize, ...(after ? { after } : {}) }),
    );
    if (nodes.some(({ id }) => id === personId)) return true;
    after = pageInfo.hasNextPage ? (pageInfo.endCursor ?? undefined) : undefined;
    if (!after) return false;
  }
  return false;
}
