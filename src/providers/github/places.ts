import type { Audience } from '../../store/schema.ts';
import { type Cache, createCache } from '../cache.ts';
import {
  type Place,
  type ProviderAdapter,
  type ProviderContext,
  ProviderError,
  type Writer,
} from '../provider.ts';
import { callGithub, githubAnswer, githubClient } from './client.ts';
import { writerFrom } from './written.ts';

type PlaceRules = Required<Pick<ProviderAdapter, 'audience' | 'canSee' | 'isInTeam' | 'writersOfPull'>>;

const audiences: Readonly<Record<string, Audience>> = { public: 'public', internal: 'workspace' };
const rememberedMs = 60_000;
const memberMs = 300_000;

/** Who sees a repository, who is in a team, and who can have written a pull request, by GitHub's own word. */
export function githubPlaces(now: () => number): PlaceRules {
  const known = createCache<Audience>({ ttlMs: () => rememberedMs, maxEntries: 5_000, now });
  const members = createCache<boolean>({
    ttlMs: (isMember) => (isMember ? memberMs : rememberedMs),
    maxEntries: 10_000,
    now,
  });
  const audience: PlaceRules['audience'] = (context, place) => {
    const { owner, repo } = repositoryOf(place);
    const key = `${context.identity.workspaceId}:${owner}/${repo}`.toLowerCase();
    return known.get(key, () => askAudience(context, owner, repo));
  };
  return {
    audience,
    async canSee(context, who, place) {
      if ((await audience(context, place)) === 'public') return true;
      return (await permissionOf(context, who, place)) !== 'none';
    },
    isInTeam: (context, who, team, options) => isInTeam(members, context, who, team, options),
    writersOfPull,
  };
}

function repositoryOf({ owner, repo }: Place): { owner: string; repo: string } {
  if (!owner || !repo) throw new ProviderError('refused', 'The place is not a repository.');
  return { owner, repo };
}

async function askAudience({ fetch }: ProviderContext, owner: string, repo: string): Promise<Audience> {
  const { data } = await callGithub(`${owner}/${repo}`, () =>
    githubClient(fetch).request('GET /repos/{owner}/{repo}', { owner, repo }),
  );
  if (data.private === false && data.visibility === undefined) return 'public';
  return audiences[data.visibility ?? 'private'] ?? 'private';
}

/** What GitHub says that this person may do there; `none` where it does not know them or does not tell. */
async function permissionOf({ fetch }: ProviderContext, who: Writer, place: Place): Promise<string> {
  const { owner, repo } = repositoryOf(place);
  const username = who.authorHint?.login;
  if (!username) return 'none';
  try {
    const { data } = await callGithub(`the permission of @${username} on ${owner}/${repo}`, () =>
      githubClient(fetch).request('GET /repos/{owner}/{repo}/collaborators/{username}/permission', {
        owner,
        repo,
        username,
      }),
    );
    // A login can change hands.
    return String(data.user?.id) === who.author.id ? data.permission : 'none';
  } catch (error) {
    if (error instanceof ProviderError && error.code === 'refused') return 'none';
    throw error;
  }
}

/**
 * Whether somebody is an active member of `org/team-slug`. It takes the permission `members:read`; without it GitHub
 * answers 403, which is no yes.
 * https://docs.github.com/en/rest/teams/members#get-team-membership-for-a-user
 */
function isInTeam(
  members: Cache<boolean>,
  { fetch, identity }: ProviderContext,
  { authorHint }: Writer,
  team: string,
  options?: { fresh?: boolean },
): Promise<boolean> {
  const [org, team_slug] = team.split('/');
  const username = authorHint?.login;
  if (!org || !team_slug || !username) return Promise.resolve(false);
  const ask = async () => {
    try {
      const { data } = await callGithub(`whether @${username} is in ${team}`, () =>
        githubClient(fetch).request('GET /orgs/{org}/teams/{team_slug}/memberships/{username}', {
          org,
          team_slug,
          username,
        }),
      );
      return data.state === 'active';
    } catch (error) {
      const status = githubAnswer(error)?.status;
      if (status === 404 || status === 403) return false;
      throw error;
    }
  };
  return members.get(`${identity.workspaceId}:${team}:${username}`.toLowerCase(), ask, options);
}

/** A pull request from a branch of its own repository is by people who may write there; from a fork, by its owner too. */
async function writersOfPull(
  { fetch }: ProviderContext,
  place: Place,
  pull: string,
): Promise<Writer[] | undefined> {
  const { owner, repo } = repositoryOf(place);
  const { data } = await callGithub(`${owner}/${repo}#${pull}`, () =>
    githubClient(fetch).request('GET /repos/{owner}/{repo}/pulls/{pull_number}', {
      owner,
      repo,
      pull_number: Number(pull),
    }),
  );
  const { user, head, base } = data;
  if (!user) return undefined;
  const writers = [writerFrom(user)];
  if (head.repo?.id === base.repo.id) return writers;
  // Who else may push to the fork is its owner's affair.
  return head.user && head.user.type !== 'Organization' ? [...writers, writerFrom(head.user)] : undefined;
}
