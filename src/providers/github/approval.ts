import { type ApprovalOutcome, type ApprovalPrompt, askInput, closeInput } from '../approval-input.ts';
import { decisionWords } from '../decision-words.ts';
import type { ProviderTool } from '../provider.ts';
import { callGithub, githubClient } from './client.ts';
import { comment, issueOf, markedBody, reconcileComment } from './send.ts';

/** The question as a comment. What is shown is in a code block that it cannot end. */
export function promptBody({ approval_id, title, shown, rules }: ApprovalPrompt): string {
  const fence = '`'.repeat(Math.max(3, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  return [
    `**Approval needed: ${title}**`,
    `${fence}text\n${shown}\n${fence}`,
    rules,
    `Comment \`/${decisionWords('approve', approval_id)}\` or \`/${decisionWords('reject', approval_id)}\`.`,
  ].join('\n\n');
}

const outcomeBody = ({ approval_id, title, outcome }: ApprovalOutcome): string =>
  `**${title}**: ${outcome}\n\n\`${approval_id}\``;

/** Asks in a comment, and puts the outcome in the question's place. */
export const approvalTools: readonly ProviderTool[] = [
  {
    name: 'ask_approval',
    capability: 'github:comment.write',
    title: 'Request for approval',
    description: 'Asks in a comment whether an action may be done.',
    input: askInput,
    effect: 'write',
    listed: false,
    perform: (context, input, target, mark) =>
      comment(context, promptBody(askInput.parse(input)), target, mark),
    reconcile: (context, _input, target, mark) => reconcileComment(context, target, mark),
  },
  {
    name: 'close_approval',
    capability: 'github:comment.write',
    title: 'Outcome of a request for approval',
    description: 'Puts the outcome in the place of the question.',
    input: closeInput,
    effect: 'write',
    listed: false,
    // An edit of a comment is the same however often it is made.
    async perform(context, input, target) {
      const outcome = closeInput.parse(input);
      const { owner, repo } = issueOf(target);
      const question = await reconcileComment(context, target, outcome.prompt_mark);
      const comment_id = Number(question?.ref?.comment_id);
      if (!question || !Number.isSafeInteger(comment_id))
        return { text: 'The question is not there any more.' };
      const body = markedBody(outcomeBody(outcome), outcome.prompt_mark, target.hops);
      const client = githubClient(context.fetch);
      // A question in a review thread is a review comment, which has an address of its own.
      const inReview = question.ref?.url?.includes('#discussion_r') ?? false;
      await callGithub('the edit of a comment', async () =>
        inReview
          ? client.request('PATCH /repos/{owner}/{repo}/pulls/comments/{comment_id}', {
              owner,
              repo,
              comment_id,
              body,
            })
          : client.request('PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}', {
              owner,
              repo,
              comment_id,
              body,
            }),
      );
      return { text: 'The question shows its outcome.', ...(question.ref && { ref: question.ref }) };
    },
  },
];
