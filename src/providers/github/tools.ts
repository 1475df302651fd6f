import { z } from 'zod';
import { type Place, ProviderError, type ProviderTool } from '../provider.ts';
import { approvalTools } from './approval.ts';
import { createIssueTool } from './create-issue.ts';
import { readIssue } from './read-issue.ts';
import { comment, reconcileComment } from './send.ts';

const replyInput = z.object({ text: z.string().trim().min(1) });
const number = z
  .number()
  .int()
  .positive()
  .optional()
  .describe('Number of an issue or pull request of this repository. Left out: the one that you answer in.');
const commentInput = z.object({
  body: z.string().trim().min(1).max(60_000).describe('GitHub-flavoured Markdown.'),
  number,
});
const readInput = z.object({
  number,
  repository: z
    .string()
    .regex(/^[A-Za-z0-9-]{1,39}\/[A-Za-z0-9_.-]{1,100}$/, 'a repository as owner/name')
    .optional()
    .describe('Another repository, as owner/name; then `number` is needed too. Left out: this one.'),
});

const isThisIssue = ({ number }: Readonly<Record<string, unknown>>, place: Place): boolean =>
  number === undefined || String(number) === place.number;

function otherRepository({ repository }: Readonly<Record<string, unknown>>, place: Place): Place | undefined {
  const [owner = '', repo = ''] = typeof repository === 'string' ? repository.split('/') : [];
  const isOwn = `${owner}/${repo}`.toLowerCase() === `${place.owner}/${place.repo}`.toLowerCase();
  return owner === '' || isOwn ? undefined : { owner, repo };
}

const reply = {
  capability: 'github:comment.write',
  input: replyInput,
  effect: 'write',
  listed: false,
  perform: (context, input, target, mark) => comment(context, replyInput.parse(input).text, target, mark),
  reconcile: (context, _input, target, mark) => reconcileComment(context, target, mark),
} satisfies Partial<ProviderTool>;

/** What can be done in GitHub by tools; the rest of its REST API is open to the sandbox by capability. */
export const githubTools: readonly ProviderTool[] = [
  {
    ...reply,
    name: 'reply',
    title: 'Reply of a turn',
    description: "Posts the turn's last message as a comment.",
  },
  {
    ...reply,
    name: 'failure',
    title: 'Failure of a turn',
    description: 'Says in a comment that the turn failed, and what to do.',
  },
  {
    name: 'github_comment',
    capability: 'github:comment.write',
    title: 'Comment on the issue or pull request',
    description:
      'Writes a comment now, while you go on working. Your last message of the turn is posted by itself; do not post it with this too.',
    input: commentInput,
    effect: 'write',
    listed: true,
    isInAnchor: isThisIssue,
    postedText: (input, place) => (isThisIssue(input, place) ? String(input.body) : undefined),
    perform: (context, input, target, mark) => {
      const { body, number } = commentInput.parse(input);
      return comment(context, body, target, mark, number);
    },
    reconcile: (context, input, target, mark) =>
      reconcileComment(context, target, mark, commentInput.parse(input).number),
  },
  {
    name: 'github_read_issue',
    capability: 'github:issue.read',
    title: 'Read the issue or pull request',
    description:
      'Reads an issue or pull request of this repository, or of another one where that is granted and who asks can see it, with its newest comments: title, text, state, labels, authors. Files and diffs are read with the REST API at https://api.github.com.',
    input: readInput,
    effect: 'read',
    listed: true,
    isInAnchor: isThisIssue,
    elsewhere: otherRepository,
    perform: async (context, input, target) => {
      const { number } = readInput.parse(input);
      const other = otherRepository(input, target.place);
      if (!other) return readIssue(context, target, number);
      if (number === undefined)
        throw new ProviderError('refused', 'Of another repository, say which `number`.');
      return readIssue(context, { ...target, place: { ...target.place, ...other } }, number);
    },
  },
  createIssueTool,
  ...approvalTools,
];
