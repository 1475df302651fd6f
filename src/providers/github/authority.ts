import { createCache } from '../cache.ts';
import { type Judgement, type ProviderAdapter, ProviderError } from '../provider.ts';
import { callGithub, githubAnswer, githubClient } from './client.ts';

/** `maintain` is reported as `write`, `triage` as `read`; the finer name is in `role_name`. */
const writing = new Set(['admin', 'maintain', 'write']);

/**
 * People who may write to the repository have authority. `author_association` in the payload is only what the
 * app may see, so GitHub is asked; the answer is remembered for 5 min, a refusal for 1 min.
 */
export function createMayAddress(now: () => number): ProviderAdapter['mayAddress'] {
  const cache = createCache<Judgement>({
    ttlMs: (answer) => (answer.allowed ? 300_000 : 60_000),
    maxEntries: 10_000,
    now,
  });
  return async (context, { author, anchor, authorHint }, options) => {
    const { owner, repo, repository_id } = anchor.place;
    const login = authorHint?.login;
    if (author.kind !== 'person' || !login || !owner || !repo) {
      return { allowed: false, kind: 'bot', detail: 'the author is not a person of this repository' };
    }
    const key = `${context.identity.workspaceId}:${repository_id}:${author.id}:${login}`;
    return cache.get(key, () => ask(context.fetch, { owner, repo, login, userId: author.id }), options);
  };
}

async function ask(
  send: typeof fetch,
  who: { owner: string; repo: string; login: string; userId: string },
): Promise<Judgement> {
  const { owner, repo, login } = who;
  try {
    const { data } = await callGithub(`the permission of @${login} on ${owner}/${repo}`, () =>
      githubClient(send).request('GET /repos/{owner}/{repo}/collaborators/{username}/permission', {
        owner,
        repo,
        username: login,
      }),
    );
    // A login can change hands between the comment and the question.
    if (data.user?.id !== undefined && String(data.user.id) !== who.userId) {
      return { allowed: false, kind: 'unknown', detail: `@${login} is another account now` };
    }
    if (writing.has(data.permission) || writing.has(data.role_name ?? '')) return { allowed: true };
    return {
      allowed: false,
      kind: 'external',
      detail: `@${login} has ${data.permission} access to ${owner}/${repo}, not write`,
    };
  } catch (error) {
    if (!(error instanceof ProviderError) || error.code !== 'refused') throw error;
    const status = githubAnswer(error)?.status;
    const detail =
      status === 404
        ? `@${login} is not a collaborator of ${owner}/${repo}`
        : `GitHub does not let this app see what @${login} may do: ${error.message}`;
    return { allowed: false, kind: 'external', detail };
  }
}
