import { z } from 'zod';
import type { ProviderTool } from '../provider.ts';
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
const readInput = z.object({ number });

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
    isInAnchor: ({ number }, place) => number === undefined || String(number) === place.number,
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
      'Reads an issue or pull request of this repository with its newest comments: title, text, state, labels, authors. Files and diffs are read with the REST API at https://api.github.com.',
    input: readInput,
    effect: 'read',
    listed: true,
    isInAnchor: ({ number }, place) => number === undefined || String(number) === place.number,
    perform: (context, input, target) => readIssue(context, target, readInput.parse(input).number),
  },
  createIssueTool,
  ...approvalTools,
];
