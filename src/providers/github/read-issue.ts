import { type ProviderContext, ProviderError, type ToolResult, type ToolTarget } from '../provider.ts';
import { excerpt, renderTranscript, type TranscriptEntry, writersOf } from '../transcript.ts';
import { callGithub, githubClient } from './client.ts';
import { issueOf } from './send.ts';

const perPage = 100;
const maxBodyCharacters = 30_000;

/** The issue or pull request with the newest of its comments, at most 200, each with its author. */
export async function readIssue(
  context: ProviderContext,
  target: ToolTarget,
  number: number | undefined,
): Promise<ToolResult> {
  const { owner, repo, number: issue_number } = issueOf(target, number);
  const client = githubClient(context.fetch);
  const { data: issue } = await callGithub(`${owner}/${repo}#${issue_number}`, () =>
    client.request('GET /repos/{owner}/{repo}/issues/{issue_number}', { owner, repo, issue_number }),
  );
  await assertStillHere(context, `${owner}/${repo}`, issue.repository_url);
  // Comments come oldest first: the newest are on the last two pages.
  const lastPage = Math.max(1, Math.ceil(issue.comments / perPage));
  const firstPage = Math.max(1, lastPage - 1);
  const entries: TranscriptEntry[] = [];
  for (let page = firstPage; page <= lastPage && issue.comments > 0; page++) {
    const { data } = await callGithub(`the comments of ${owner}/${repo}#${issue_number}`, () =>
      client.request('GET /repos/{owner}/{repo}/issues/{issue_number}/comments', {
        owner,
        repo,
        issue_number,
        per_page: perPage,
        page,
      }),
    );
    entries.push(
      ...data.map((comment) => ({
        id: String(comment.id),
        author: comment.user?.login ?? 'ghost',
        ...(comment.user ? { authorId: String(comment.user.id) } : {}),
        kind: kindOf(comment.user, context),
        at: comment.created_at,
        text: comment.body ?? '',
      })),
    );
  }
  const labels = issue.labels.map((label) => (typeof label === 'string' ? label : (label.name ?? '')));
  const opening: TranscriptEntry = {
    id: `#${issue.number}`,
    author: issue.user?.login ?? 'ghost',
    ...(issue.user ? { authorId: String(issue.user.id) } : {}),
    kind: kindOf(issue.user, context),
    at: issue.created_at,
    text: `# ${issue.title}\n\n${excerpt(issue.body ?? '', maxBodyCharacters)}`,
  };
  const facts = [
    `${issue.pull_request ? 'Pull request' : 'Issue'} ${owner}/${repo}#${issue.number}, ${issue.state}.`,
    `Labels: ${JSON.stringify(labels)}. Assigned: ${JSON.stringify(issue.assignees?.map((each) => each.login) ?? [])}.`,
  ].join(' ');
  const leftOut = (firstPage - 1) * perPage;
  const discussion = renderTranscript('Comments.', entries, { leftOut });
  return {
    text: [renderTranscript(facts, [opening]), discussion].join('\n\n'),
    writers: writersOf([opening, ...entries]).map((writer) => ({
      ...writer,
      authorHint: { login: writer.author.name ?? '' },
    })),
  };
}

/**
 * For an issue that was transferred GitHub answers with the one in its new repository, which may be read by leave of its
 * own only. A repository that was renamed is the same.
 */
async function assertStillHere(
  { fetch }: ProviderContext,
  asked: string,
  found: string | undefined,
): Promise<void> {
  const name = /\/repos\/([^/]+\/[^/]+)$/.exec(found ?? '')?.[1]?.toLowerCase();
  if (name === undefined || name === asked.toLowerCase()) return;
  const [owner = '', repo = ''] = asked.split('/');
  const { data } = await callGithub(asked, () =>
    githubClient(fetch).request('GET /repos/{owner}/{repo}', { owner, repo }),
  );
  if (data.full_name.toLowerCase() === name) return;
  throw new ProviderError('refused', `That issue was moved to ${name}. Ask for it there.`);
}

function kindOf(
  user: { id?: unknown; type?: string } | null | undefined,
  { identity }: ProviderContext,
): TranscriptEntry['kind'] {
  if (identity.userId !== undefined && String(user?.id) === identity.userId) return 'you';
  return user?.type === 'Bot' ? 'bot' : 'person';
}
