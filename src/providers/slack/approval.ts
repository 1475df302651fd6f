import type { KnownBlock } from '@slack/web-api';
import { type ApprovalOutcome, type ApprovalPrompt, askInput, closeInput } from '../approval-input.ts';
import { decisionWords } from '../decision-words.ts';
import type { ProviderTool, ToolResult } from '../provider.ts';
import { callSlack, slackClient, slackErrorName } from './client.ts';
import { escapeMarkup } from './mrkdwn.ts';
import { findParts, metadataOf, threadOf } from './send.ts';
import { maxPartCharacters } from './split.ts';

/** Slack takes 50 blocks, with at most 3,000 characters in a text. */
const maxChunkCharacters = 2_900;

/** The question with its two buttons. What is shown is in blocks that Slack does not look for markup in. */
export function promptBlocks({ approval_id, title, shown, rules }: ApprovalPrompt): KnownBlock[] {
  const button = (decision: 'approve' | 'reject', text: string, style: 'primary' | 'danger') =>
    ({
      type: 'button',
      action_id: `tagalong_${decision}`,
      text: { type: 'plain_text', text },
      style,
      value: decisionWords(decision, approval_id),
    }) as const;
  return [
    { type: 'section', text: { type: 'plain_text', text: `Approval needed: ${title}`.slice(0, 300) } },
    ...chunks(shown).map(
      (text): KnownBlock => ({
        type: 'rich_text',
        elements: [{ type: 'rich_text_preformatted', elements: [{ type: 'text', text }] }],
      }),
    ),
    { type: 'context', elements: [{ type: 'plain_text', text: `${rules} ${approval_id}`.slice(0, 1_900) }] },
    {
      type: 'actions',
      elements: [button('approve', 'Approve', 'primary'), button('reject', 'Reject', 'danger')],
    },
  ];
}

/** For notifications and for clients that show no blocks. */
function promptText({ approval_id, title, shown, rules }: ApprovalPrompt): string {
  const text = escapeMarkup(`Approval needed: ${title}\n${shown}\n${rules} ${approval_id}`);
  return text.length <= maxPartCharacters ? text : `${text.slice(0, maxPartCharacters - 2).toWellFormed()} …`;
}

function outcomeText({ approval_id, title, outcome }: ApprovalOutcome): string {
  return escapeMarkup(`${title}: ${outcome} (${approval_id})`).slice(0, maxPartCharacters);
}

function chunks(text: string): string[] {
  const cut: string[] = [];
  for (let at = 0; at < text.length; ) {
    let end = Math.min(at + maxChunkCharacters, text.length);
    // Not between the halves of a surrogate pair.
    if (end < text.length && /[\uD800-\uDBFF]/.test(text.charAt(end - 1))) end -= 1;
    cut.push(text.slice(at, end));
    at = end;
  }
  return cut;
}

/** Asks in the thread, and puts the outcome in the question's place. */
export const approvalTools: readonly ProviderTool[] = [
  {
    name: 'ask_approval',
    capability: 'slack:thread.reply',
    title: 'Request for approval',
    description: 'Asks in the thread whether an action may be done, with two buttons.',
    input: askInput,
    effect: 'write',
    listed: false,
    async perform(context, input, target, mark) {
      const prompt = askInput.parse(input);
      const { channel, threadTs } = threadOf(target);
      const answer = await callSlack('chat.postMessage', () =>
        slackClient(context.fetch).chat.postMessage({
          channel,
          thread_ts: threadTs,
          text: promptText(prompt),
          blocks: promptBlocks(prompt),
          unfurl_links: false,
          unfurl_media: false,
          metadata: metadataOf(mark, 1, target),
        }),
      );
      return { text: 'Asked in the thread.', ref: { channel, ts: answer.ts ?? '', thread_ts: threadTs } };
    },
    async reconcile(context, _input, target, mark): Promise<ToolResult | undefined> {
      const ts = (await findParts(context, target, mark)).get(1);
      const { channel, threadTs } = threadOf(target);
      return ts === undefined
        ? undefined
        : { text: 'Asked in the thread.', ref: { channel, ts, thread_ts: threadTs } };
    },
  },
  {
    name: 'close_approval',
    capability: 'slack:thread.reply',
    title: 'Outcome of a request for approval',
    description: 'Puts the outcome in the place of the question and its buttons.',
    input: closeInput,
    effect: 'write',
    listed: false,
    // An update of a message is the same however often it is made.
    async perform(context, input, target) {
      const outcome = closeInput.parse(input);
      const { channel } = threadOf(target);
      const ts = (await findParts(context, target, outcome.prompt_mark)).get(1);
      if (ts === undefined) return { text: 'The question is not there any more.' };
      const text = outcomeText(outcome);
      const blocks = [{ type: 'section', text: { type: 'mrkdwn', text: text.slice(0, 3_000) } }] as const;
      try {
        await callSlack('chat.update', () =>
          slackClient(context.fetch).chat.update({ channel, ts, text, blocks: [...blocks] }),
        );
      } catch (error) {
        if (slackErrorName(error) !== 'message_not_found') throw error;
        return { text: 'The question is not there any more.' };
      }
      return { text: 'The question shows its outcome.', ref: { channel, ts } };
    },
  },
];
