import { type ApprovalPrompt, askInput, closeInput } from '../approval-input.ts';
import { decisionWords } from '../decision-words.ts';
import type { ProviderTool } from '../provider.ts';
import { addActivity, findActivity } from './send.ts';

/** The question. What is shown is in a code block that it cannot end. */
export function promptBody({ approval_id, title, shown, rules }: ApprovalPrompt): string {
  const fence = '`'.repeat(Math.max(3, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  return [
    `**Approval needed: ${title}**`,
    `${fence}\n${shown}\n${fence}`,
    `${rules} Choose, or write \`${decisionWords('approve', approval_id)}\` or \`${decisionWords('reject', approval_id)}\`.`,
  ].join('\n\n');
}

const choicesOf = (id: string) => [
  { label: 'Approve', value: decisionWords('approve', id) },
  { label: 'Reject', value: decisionWords('reject', id) },
];

/** Asks in the agent session with a choice, and says the outcome there: Linear lets no activity be edited. */
export const approvalTools: readonly ProviderTool[] = [
  {
    name: 'ask_approval',
    capability: 'linear:comment.write',
    title: 'Request for approval',
    description: 'Asks in the agent session whether an action may be done, with a choice.',
    input: askInput,
    effect: 'write',
    listed: false,
    perform(context, input, target, mark) {
      const prompt = askInput.parse(input);
      return addActivity(
        context,
        'elicitation',
        promptBody(prompt),
        target,
        mark,
        choicesOf(prompt.approval_id),
      );
    },
    reconcile: (context, _input, target, mark) => findActivity(context, target, mark),
  },
  {
    name: 'close_approval',
    capability: 'linear:comment.write',
    title: 'Outcome of a request for approval',
    description: 'Says in the agent session what became of the request.',
    input: closeInput,
    effect: 'write',
    listed: false,
    perform(context, input, target, mark) {
      const { approval_id, title, outcome } = closeInput.parse(input);
      return addActivity(context, 'thought', `**${title}**: ${outcome} (\`${approval_id}\`)`, target, mark);
    },
    reconcile: (context, _input, target, mark) => findActivity(context, target, mark),
  },
];
