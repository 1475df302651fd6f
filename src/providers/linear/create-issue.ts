import { z } from 'zod';
import { type ProviderContext, ProviderError, type ProviderTool, type ToolResult } from '../provider.ts';
import { callLinear, linearClient } from './client.ts';
import { withHops } from './hops-id.ts';
import { issueOf, onceOnly, orUndefined } from './send.ts';

const createInput = z.object({
  title: z.string().trim().min(1).max(255),
  description: z.string().trim().max(100_000).default('').describe('Markdown.'),
});

async function findIssue(context: ProviderContext, id: string): Promise<ToolResult | undefined> {
  const issue = await orUndefined(() =>
    callLinear('the new issue', () => linearClient(context.fetch).issue(id)),
  );
  if (!issue) return undefined;
  return { text: `Created ${issue.identifier}: ${issue.url}`, ref: { issue_id: id, url: issue.url } };
}

/** A new issue in the team of the session's own. Its id follows from the mark, so that it is made once. */
export const createIssueTool: ProviderTool = {
  name: 'linear_create_issue',
  capability: 'linear:issue.create',
  title: 'Create a Linear issue',
  description: "Creates a new issue in the team of this session's issue.",
  input: createInput,
  effect: 'write',
  listed: true,
  isInAnchor: () => false,
  async perform(context, input, target, mark) {
    const { title, description } = createInput.parse(input);
    const own = issueOf(target);
    const id = withHops(mark, target.hops);
    const client = linearClient(context.fetch);
    const team = await callLinear('the team', async () => (await client.issue(own)).team);
    if (!team)
      throw new ProviderError('refused', "The session's issue belongs to no team that is visible here.");
    const result = await onceOnly(
      () =>
        callLinear('the new issue', () => client.createIssue({ id, teamId: team.id, title, description })),
      () => findIssue(context, id),
      { text: '', ref: { issue_id: id } },
    );
    return (await findIssue(context, id)) ?? { ...result, text: 'Created the issue.' };
  },
  reconcile: (context, _input, target, mark) => findIssue(context, withHops(mark, target.hops)),
};
