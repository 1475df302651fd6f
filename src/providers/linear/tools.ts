import { z } from 'zod';
import type { ProviderTool } from '../provider.ts';
import { approvalTools } from './approval.ts';
import type { LinearPeople } from './authority.ts';
import { createIssueTool } from './create-issue.ts';
import { readIssue } from './read-issue.ts';
import { type ActivityType, addActivity, comment, findActivity, findComment } from './send.ts';

const replyInput = z.object({ text: z.string().trim().min(1) });
const commentInput = z.object({ body: z.string().trim().min(1).max(100_000).describe('Markdown.') });
const readInput = z.object({});

const say = (type: ActivityType) =>
  ({
    capability: 'linear:comment.write',
    input: replyInput,
    effect: 'write',
    listed: false,
    perform: (context, input, target, mark) =>
      addActivity(context, type, replyInput.parse(input).text, target, mark),
    reconcile: (context, _input, target, mark) => findActivity(context, target, mark),
  }) satisfies Partial<ProviderTool>;

/** What can be done in Linear. */
export function linearTools(people: LinearPeople): readonly ProviderTool[] {
  return [
    {
      ...say('response'),
      name: 'reply',
      title: 'Reply of a turn',
      description: "Adds the turn's last message to the agent session as its response.",
    },
    {
      ...say('error'),
      name: 'failure',
      title: 'Failure of a turn',
      description: 'Says in the agent session that the turn failed, and what to do.',
    },
    {
      name: 'linear_comment',
      capability: 'linear:comment.write',
      title: 'Comment on the Linear issue',
      description:
        'Writes a comment on the issue itself, visible to all who follow it. Your last message of the turn goes to the agent session by itself; do not post it with this too.',
      input: commentInput,
      effect: 'write',
      listed: true,
      perform: (context, input, target, mark) =>
        comment(context, commentInput.parse(input).body, target, mark),
      reconcile: (context, _input, target, mark) => findComment(context, target, mark),
    },
    {
      name: 'linear_read_issue',
      capability: 'linear:issue.read',
      title: 'Read the Linear issue',
      description:
        'Reads the issue that this agent session is about: title, description, state, and its comments with their authors.',
      input: readInput,
      effect: 'read',
      listed: true,
      perform: (context, _input, target) => readIssue(context, target, people),
    },
    createIssueTool,
    ...approvalTools,
  ];
}
