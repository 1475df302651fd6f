import { z } from 'zod';
import type { People } from '../people.ts';
import type { Place, ProviderTool } from '../provider.ts';
import { approvalTools } from './approval.ts';
import { createIssueTool } from './create-issue.ts';
import { readIssue } from './read-issue.ts';
import { type ActivityType, addActivity, comment, findActivity, findComment } from './send.ts';

const replyInput = z.object({ text: z.string().trim().min(1) });
const commentInput = z.object({ body: z.string().trim().min(1).max(100_000).describe('Markdown.') });
const readInput = z.object({
  issue: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9]{0,9}-\d{1,7}$/, 'an issue as ENG-12')
    .transform((identifier) => identifier.toUpperCase())
    .optional()
    .describe('Another issue, as ENG-12. Left out: the one that this agent session is about.'),
});

const teamKey = (identifier: string | undefined) => identifier?.replace(/-\d+$/, '').toUpperCase();

function otherIssue(input: Readonly<Record<string, unknown>>, { identifier }: Place): string | undefined {
  const { issue } = readInput.parse(input);
  return issue === identifier?.toUpperCase() ? undefined : issue;
}

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
export function linearTools(people: People): readonly ProviderTool[] {
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
        'Reads the issue that this agent session is about, or another one: of this team, and of others where that is granted and who asks can see it: title, description, state, and its comments with their authors.',
      input: readInput,
      effect: 'read',
      listed: true,
      isInAnchor: (input, place) => otherIssue(input, place) === undefined,
      elsewhere: (input, place) => {
        const issue = otherIssue(input, place);
        return issue && teamKey(issue) !== teamKey(place.identifier) ? { issue_id: issue } : undefined;
      },
      perform: (context, input, target) => {
        const issue = otherIssue(input, target.place);
        const place = issue ? { ...target.place, issue_id: issue } : target.place;
        return readIssue(context, { ...target, place }, people, teamKey(issue));
      },
    },
    createIssueTool,
    ...approvalTools,
  ];
}
