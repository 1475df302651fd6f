import { type ProviderContext, ProviderError, type ToolResult, type ToolTarget } from '../provider.ts';
import { callGithub, githubClient } from './client.ts';
import { hopsMarker } from './hops.ts';

/** GitHub refuses longer bodies. */
const maxBodyCharacters = 65_536;
const perPage = 100;
const maxPages = 100;

export interface IssuePlace {
  owner: string;
  repo: string;
  number: number;
}

/** The issue or pull request that a tool acts on. Throws ProviderError `refused` for a place that is none. */
export function issueOf(target: ToolTarget, number?: number): IssuePlace {
  const { owner, repo } = target.place;
  const chosen = number ?? Number(target.place.number);
  if (!owner || !repo || !Number.isSafeInteger(chosen) || chosen <= 0) {
    throw new ProviderError('refused', 'The place is not a GitHub issue or pull request.');
  }
  return { owner, repo, number: chosen };
}

/** The first comment of the review thread that is answered, where the message was one of a review. */
function reviewThreadOf(target: ToolTarget, issue: IssuePlace): number | undefined {
  if (target.message?.kind !== 'review_comment' || String(issue.number) !== target.place.number)
    return undefined;
  const id = Number(target.message.thread_id ?? target.message.comment_id);
  return Number.isSafeInteger(id) && id > 0 ? id : undefined;
}

export const markerOf = (mark: string) => `<!-- tagalong:${mark} -->`;

/** The text as it is sent: markers that its author put in made visible, short enough, our hidden marker at its end. */
export function markedBody(text: string, mark: string, hops?: number): string {
  const marker = `\n\n${hops === undefined ? '' : `${hopsMarker(hops)}\n`}${markerOf(mark)}`;
  const note = (whole: number) => `\n\n*(cut here: the whole text has ${whole} characters)*`;
  let body = text.trim().replace(/<!--(\s*tagalong:)/gi, '&lt;!--$1');
  const room = maxBodyCharacters - marker.length;
  if (body.length > room) {
    const words = note(body.length);
    body = body.slice(0, room - words.length).toWellFormed() + words;
  }
  return body.trimEnd() + marker;
}

/** Writes a comment on the issue or pull request, or in the review thread that is answered. */
export async function comment(
  context: ProviderContext,
  text: string,
  target: ToolTarget,
  mark: string,
  number?: number,
): Promise<ToolResult> {
  const issue = issueOf(target, number);
  if (text.trim() === '') throw new ProviderError('refused', 'There is no text to post.');
  const body = markedBody(text, mark, target.hops);
  const thread = reviewThreadOf(target, issue);
  const client = githubClient(context.fetch);
  const { owner, repo } = issue;
  if (thread !== undefined) {
    const { data } = await callGithub('the reply to a review comment', () =>
      client.request('POST /repos/{owner}/{repo}/pulls/{pull_number}/comments/{comment_id}/replies', {
        owner,
        repo,
        pull_number: issue.number,
        comment_id: thread,
        body,
      }),
    );
    return written(data.id, data.html_url);
  }
  const { data } = await callGithub('the comment', () =>
    client.request('POST /repos/{owner}/{repo}/issues/{issue_number}/comments', {
      owner,
      repo,
      issue_number: issue.number,
      body,
    }),
  );
  return written(data.id, data.html_url);
}

const written = (id: unknown, url: string): ToolResult => ({
  text: `Commented: ${url}`,
  ref: { comment_id: String(id), url },
});

/** Looks for a comment of ours that ends with the mark's marker, among those since the message that was answered. */
export async function reconcileComment(
  context: ProviderContext,
  target: ToolTarget,
  mark: string,
  number?: number,
): Promise<ToolResult | undefined> {
  const issue = issueOf(target, number);
  const client = githubClient(context.fetch);
  const { owner, repo } = issue;
  const since = target.message?.at;
  const range = { owner, repo, per_page: perPage, ...(since ? { since } : {}) };
  const marker = markerOf(mark);
  const conversation = await findMarked(context, marker, (page) =>
    client.request('GET /repos/{owner}/{repo}/issues/{issue_number}/comments', {
      ...range,
      issue_number: issue.number,
      page,
    }),
  );
  if (conversation || reviewThreadOf(target, issue) === undefined) return conversation;
  return findMarked(context, marker, (page) =>
    client.request('GET /repos/{owner}/{repo}/pulls/{pull_number}/comments', {
      ...range,
      pull_number: issue.number,
      page,
    }),
  );
}

interface Comment {
  id: unknown;
  html_url: string;
  body?: string | undefined;
  user?: { id: unknown } | null | undefined;
  performed_via_github_app?: { id?: unknown } | null | undefined;
}

async function findMarked(
  context: ProviderContext,
  marker: string,
  fetchPage: (page: number) => Promise<{ data: Comment[] }>,
): Promise<ToolResult | undefined> {
  for (let page = 1; page <= maxPages; page++) {
    const { data } = await callGithub('the list of comments', () => fetchPage(page));
    const found = data.find((each) => each.body?.trimEnd().endsWith(marker) && isOurs(each, context));
    if (found) return written(found.id, found.html_url);
    if (data.length < perPage) return undefined;
  }
  throw new ProviderError('unavailable', 'There are too many comments to see whether ours is among them.', {
    mayHaveArrived: true,
  });
}

/** Whether this app wrote it. */
export function isOurs(
  comment: Pick<Comment, 'user' | 'performed_via_github_app'>,
  { identity }: ProviderContext,
): boolean {
  const byApp = comment.performed_via_github_app?.id;
  return (
    (identity.userId !== undefined && String(comment.user?.id) === identity.userId) ||
    (identity.appId !== undefined && byApp !== undefined && String(byApp) === identity.appId)
  );
}
