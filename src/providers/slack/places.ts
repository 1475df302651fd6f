import type { Audience } from '../../store/schema.ts';
import { createCache } from '../cache.ts';
import type { People } from '../people.ts';
import { type Place, type ProviderAdapter, type ProviderContext, ProviderError } from '../provider.ts';
import { callSlack, slackClient } from './client.ts';

type PlaceRules = Pick<ProviderAdapter, 'audience' | 'canSee'>;

const rememberedMs = 60_000;
const maxMemberPages = 20;

/** Who sees a channel, by Slack's own word. */
export function slackPlaces(people: People, now: () => number): PlaceRules {
  const known = createCache<Audience>({ ttlMs: () => rememberedMs, maxEntries: 5_000, now });
  const audience: PlaceRules['audience'] = (context, place) => {
    const channel = channelOf(place);
    const { workspaceId, userId } = context.identity;
    return known.get(`${workspaceId}:${userId}:${channel}`, () => askAudience(context, channel));
  };
  return {
    audience,
    async canSee(context, { author }, place) {
      if (author.kind !== 'person') return false;
      if ((await audience(context, place)) !== 'private') {
        const { objection } = await people.person(context, author.id, { fresh: true });
        // A guest and somebody of another organization see only the channels that they are in.
        if (!objection) return true;
      }
      return isMember(context, channelOf(place), author.id);
    },
  };
}

function channelOf({ channel }: Place): string {
  if (!channel) throw new ProviderError('refused', 'The place is not a Slack channel.');
  return channel;
}

async function askAudience(context: ProviderContext, channel: string): Promise<Audience> {
  const answer = await callSlack('conversations.info', () =>
    slackClient(context.fetch).conversations.info({ channel }),
  );
  const facts = answer.channel;
  if (!facts || facts.is_private || facts.is_im || facts.is_mpim) return 'private';
  // Shared by Slack Connect: other organizations read along.
  return facts.is_ext_shared ? 'public' : 'workspace';
}

async function isMember(context: ProviderContext, channel: string, userId: string): Promise<boolean> {
  let cursor: string | undefined;
  for (let page = 0; page < maxMemberPages; page++) {
    const answer = await callSlack('conversations.members', () =>
      slackClient(context.fetch).conversations.members({
        channel,
        limit: 1_000,
        ...(cursor ? { cursor } : {}),
      }),
    );
    if (answer.members?.includes(userId)) return true;
    cursor = answer.response_metadata?.next_cursor;
    if (!cursor) return false;
  }
  return false;
}
