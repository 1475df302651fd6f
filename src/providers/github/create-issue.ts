import { z } from 'zod';
import {
  type ProviderContext,
  ProviderError,
  type ProviderTool,
  type ToolResult,
  type ToolTarget,
} from '../provider.ts';
import { callGithub, githubClient } from './client.ts';
import { isOurs, issueOf, markedBody, markerOf } from './send.ts';

const createInput = z.object({
  title: z.string().trim().min(1).max(256),
  body: z.string().trim().max(60_000).default('').describe('GitHub-flavoured Markdown.'),
});
const perPage = 100;
const maxPages = 20;

const created = (number: number, url: string): ToolResult => ({
  text: `Opened issue #${number}: ${url}`,
  ref: { number: String(number), url },
});

async function findIssue(
  context: ProviderContext,
  target: ToolTarget,
  mark: string,
): Promise<ToolResult | undefined> {
  const { owner, repo } = issueOf(target);
  const since = target.message?.at;
  for (let page = 1; page <= maxPages; page++) {
    const { data } = await callGithub('the list of issues', () =>
      githubClient(context.fetch).request('GET /repos/{owner}/{repo}/issues', {
        owner,
        repo,
        state: 'all',
        sort: 'created',
        direction: 'desc',
        per_page: perPage,
        page,
        ...(since ? { since } : {}),
      }),
    );
    const found = data.find((each) => each.body?.trimEnd().endsWith(markerOf(mark)) && isOurs(each, context));
    if (found) return created(found.number, found.html_url);
    if (data.length < perPage) return undefined;
  }
  throw new ProviderError('unavailable', 'There are too many issues to see whether ours is among them.', {
    mayHaveArrived: true,
  });
}

/** A new issue in the session's own repository. */
export const createIssueTool: ProviderTool = {
  name: 'github_create_issue',
  capability: 'github:issue.create',
  title: 'Open a GitHub issue',
  description: 'Opens a new issue in this repository.',
  input: createInput,
  effect: 'write',
  listed: true,
  isInAnchor: () => false,
  async perform(context, input, target, mark) {
    const { title, body } = createInput.parse(input);
    const { owner, repo } = issueOf(target);
    const { data } = await callGithub('the new issue', () =>
      githubClient(context.fetch).request('POST /repos/{owner}/{repo}/issues', {
        owner,
        repo,
        title,
        body: markedBody(body, mark, target.hops),
      }),
    );
    return created(data.number, data.html_url);
  },
  reconcile: (context, _input, target, mark) => findIssue(context, target, mark),
};
