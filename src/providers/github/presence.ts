import { type PresencePhase, type ProviderContext, ProviderError, type ToolTarget } from '../provider.ts';
import { callGithub, githubClient } from './client.ts';
import { issueOf } from './send.ts';

/** GitHub answers 200 to a reaction that is there already, so that repeating does no harm. */
const signs: Record<PresencePhase, 'eyes' | 'confused' | undefined> = {
  working: 'eyes',
  done: undefined,
  failed: 'confused',
};

/**
 * Eyes on the message when work begins; they stay, and the answer says the rest. A failure adds `confused`. A review as
 * a whole takes no reactions: its pull request does.
 */
export async function presence(
  context: ProviderContext,
  target: ToolTarget,
  phase: PresencePhase,
): Promise<void> {
  const content = signs[phase];
  if (!content) return;
  const { owner, repo, number } = issueOf(target);
  const client = githubClient(context.fetch);
  const comment_id = Number(target.message?.comment_id);
  try {
    await callGithub('the reaction', async () => {
      switch (target.message?.kind) {
        case 'comment':
          return client.request('POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions', {
            owner,
            repo,
            comment_id,
            content,
          });
        case 'review_comment':
          return client.request('POST /repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions', {
            owner,
            repo,
            comment_id,
            content,
          });
        default:
          return client.request('POST /repos/{owner}/{repo}/issues/{issue_number}/reactions', {
            owner,
            repo,
            issue_number: number,
            content,
          });
      }
    });
  } catch (error) {
    // A locked issue, a deleted comment: there is nowhere to show it.
    if (!(error instanceof ProviderError) || error.code !== 'refused') throw error;
  }
}
