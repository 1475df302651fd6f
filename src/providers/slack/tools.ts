import { z } from 'zod';
import type { People } from '../people.ts';
import {
  type ProviderContext,
  ProviderError,
  type ProviderTool,
  type ToolResult,
  type ToolTarget,
} from '../provider.ts';
import { approvalTools } from './approval.ts';
import { callSlack, slackClient, slackErrorName } from './client.ts';
import { postMessageTool } from './post-message.ts';
import { readThread } from './read-thread.ts';
import { postInThread, reconcileThread, threadOf } from './send.ts';

const textInput = z.object({
  text: z
    .string()
    .trim()
    .min(1)
    .describe('Markdown. Mention a person as <@U…> with their author_id; @here and @channel do nothing.'),
});
const reactionInput = z.object({
  emoji: z
    .string()
    .trim()
    .transform((name) => name.replace(/^:|:$/g, ''))
    .pipe(z.string().regex(/^[a-z0-9_'+-]{1,100}(::skin-tone-[2-6])?$/, 'an emoji by name, as eyes or +1'))
    .describe('The name of the emoji, without colons: eyes, white_check_mark, +1.'),
  message_id: z
    .string()
    .regex(/^\d{1,12}\.\d{1,9}$/, 'the id of a message, as slack_read_thread gives it')
    .optional()
    .describe('Which message, by its id from slack_read_thread. Left out: the message that you answer.'),
});
const readInput = z.object({
  limit: z
    .number()
    .int()
    .min(1)
    .max(200)
    .default(50)
    .describe('How many of the newest messages, at most 200.'),
  channel: z
    .string()
    .regex(/^[CG][A-Z0-9]{2,30}$/, 'the id of a channel, as C0123456789')
    .optional()
    .describe('Another channel, by its id; then `thread` is needed too. Left out: this one.'),
  thread: z
    .string()
    .regex(/^\d{1,12}\.\d{1,9}$/, 'the id of the first message of a thread, as 1712345678.000100')
    .optional()
    .describe('Another thread, by the id of its first message. Left out: this one.'),
});

const otherChannel: NonNullable<ProviderTool['elsewhere']> = ({ channel }, place) =>
  typeof channel === 'string' && channel !== place.channel ? { channel } : undefined;

/** The thread that is meant, which is this one where no other is named. */
function threadMeant({ channel, thread }: z.output<typeof readInput>, target: ToolTarget): ToolTarget {
  if (channel !== undefined && thread === undefined && channel !== target.place.channel) {
    throw new ProviderError('refused', 'Of another channel, say which `thread`.');
  }
  const place = { ...target.place, ...(channel && { channel }), ...(thread && { thread_ts: thread }) };
  return { ...target, place };
}

const post = {
  capability: 'slack:thread.reply',
  input: textInput,
  effect: 'write',
  perform: (context, input, target, mark) => postInThread(context, textInput.parse(input).text, target, mark),
  reconcile: (context, input, target, mark) =>
    reconcileThread(context, textInput.parse(input).text, target, mark),
} satisfies Partial<ProviderTool>;

async function react(
  context: ProviderContext,
  input: Record<string, unknown>,
  target: ToolTarget,
  isPresent: boolean,
): Promise<ToolResult> {
  const { emoji, message_id } = reactionInput.parse(input);
  const { channel, threadTs } = threadOf(target);
  const timestamp = message_id ?? target.message?.ts ?? threadTs;
  const { reactions } = slackClient(context.fetch);
  const what = { channel, timestamp, name: emoji };
  // Not `ts`: by that name what we wrote ourselves is known.
  const ref = { channel, reacted_ts: timestamp };
  try {
    if (isPresent) await callSlack('reactions.add', () => reactions.add(what));
    else await callSlack('reactions.remove', () => reactions.remove(what));
  } catch (error) {
    const name = slackErrorName(error);
    if (name !== (isPresent ? 'already_reacted' : 'no_reaction')) throw error;
    return { text: isPresent ? `:${emoji}: was there already.` : `:${emoji}: was not there.`, ref };
  }
  return { text: isPresent ? `Added :${emoji}:.` : `Took :${emoji}: away.`, ref };
}

/** What can be done in Slack. */
export function slackTools(people: People): readonly ProviderTool[] {
  return [
    {
      ...post,
      name: 'reply',
      title: 'Reply of a turn',
      description: "Posts the turn's last message in the thread.",
      listed: false,
    },
    {
      ...post,
      name: 'failure',
      title: 'Failure of a turn',
      description: 'Says in the thread that the turn failed, and what to do.',
      listed: false,
    },
    {
      ...post,
      name: 'slack_reply',
      title: 'Reply in the Slack thread',
      description:
        'Posts a message in this Slack thread now, while you go on working: an interim result, a question. Your last message of the turn is posted by itself; do not post it with this too.',
      listed: true,
      postedText: ({ text }) => (typeof text === 'string' ? text : undefined),
    },
    {
      name: 'slack_react',
      capability: 'slack:reaction.add',
      title: 'Add a reaction',
      description: 'Adds an emoji reaction to a message of this Slack channel.',
      input: reactionInput,
      effect: 'write',
      listed: true,
      perform: (context, input, target) => react(context, input, target, true),
    },
    {
      name: 'slack_unreact',
      capability: 'slack:reaction.remove',
      title: 'Remove a reaction',
      description: 'Takes an emoji reaction of your own away from a message of this Slack channel.',
      input: reactionInput,
      effect: 'write',
      listed: true,
      perform: (context, input, target) => react(context, input, target, false),
    },
    {
      name: 'slack_read_thread',
      capability: 'slack:message.read',
      title: 'Read the Slack thread',
      description:
        'Reads this Slack thread, or another one: of this channel, and of others where that is granted and who asks can see them: the newest messages with their ids, authors and texts. Use it when you were tagged into a conversation that began before.',
      input: readInput,
      effect: 'read',
      listed: true,
      isInAnchor: ({ thread }, place) => thread === undefined || thread === place.thread_ts,
      elsewhere: otherChannel,
      perform: async (context, input, target) => {
        const asked = readInput.parse(input);
        return readThread(context, threadMeant(asked, target), asked.limit, people);
      },
    },
    postMessageTool,
    ...approvalTools,
  ];
}
