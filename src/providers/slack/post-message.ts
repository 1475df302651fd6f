import { z } from 'zod';
import { type ProviderContext, ProviderError, type ProviderTool, type ToolTarget } from '../provider.ts';
import { callSlack, slackClient } from './client.ts';
import { isOwn } from './message.ts';
import { toMrkdwn } from './mrkdwn.ts';
import { markedSchema, metadataOf, outboxEventType, threadOf } from './send.ts';
import { maxPartCharacters, splitPosts } from './split.ts';

const postInput = z.object({
  channel: z
    .string()
    .regex(/^[CG][A-Z0-9]{2,30}$/, 'the id of a channel, as C0123456789')
    .describe('The id of the channel. You must be a member of it.'),
  text: z.string().trim().min(1).max(maxPartCharacters).describe('Markdown, at most one post long.'),
});
const pageSize = 200;
const maxPages = 20;

async function findPost(
  context: ProviderContext,
  channel: string,
  target: ToolTarget,
  mark: string,
): Promise<string | undefined> {
  // What is looked for was posted after the message that asked for it, by one and the same clock.
  const oldest = target.message?.ts ?? threadOf(target).threadTs;
  let cursor: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const answer = await callSlack('conversations.history', () =>
      slackClient(context.fetch).conversations.history({
        channel,
        oldest,
        inclusive: true,
        include_all_metadata: true,
        limit: pageSize,
        ...(cursor ? { cursor } : {}),
      }),
    );
    for (const candidate of answer.messages ?? []) {
      const message = markedSchema.safeParse(candidate);
      if (!message.success || message.data.metadata?.event_type !== outboxEventType) continue;
      if (message.data.metadata.event_payload.mark === mark && isOwn(message.data, context.identity)) {
        return message.data.ts ?? undefined;
      }
    }
    cursor = answer.response_metadata?.next_cursor;
    if (!cursor) return undefined;
  }
  throw new ProviderError('unavailable', 'The channel is too busy to see whether the post is in it.', {
    mayHaveArrived: true,
  });
}

const posted = (channel: string, ts: string) => ({ text: `Posted in ${channel}.`, ref: { channel, ts } });

/** A post outside of the thread. */
export const postMessageTool: ProviderTool = {
  name: 'slack_post_message',
  capability: 'slack:message.write',
  title: 'Post in another Slack channel',
  description:
    'Posts a message of its own in a channel of this workspace, outside of this thread. What was read in a private conversation cannot be posted in a public channel.',
  input: postInput,
  effect: 'write',
  listed: true,
  isInAnchor: () => false,
  elsewhere: ({ channel }, place) =>
    typeof channel === 'string' && channel !== place.channel ? { channel } : undefined,
  async perform(context, input, target, mark) {
    const { channel, text } = postInput.parse(input);
    // From a place that is none, nothing is posted.
    threadOf(target);
    const [part = '', ...more] = splitPosts(toMrkdwn(text));
    if (more.length > 0) throw new ProviderError('refused', 'The text is too long for one post.');
    const answer = await callSlack('chat.postMessage', () =>
      slackClient(context.fetch).chat.postMessage({
        channel,
        text: part,
        unfurl_links: false,
        unfurl_media: false,
        metadata: metadataOf(mark, 1, target),
      }),
    );
    return posted(channel, answer.ts ?? '');
  },
  async reconcile(context, input, target, mark) {
    const { channel } = postInput.parse(input);
    const ts = await findPost(context, channel, target, mark);
    return ts === undefined ? undefined : posted(channel, ts);
  },
};
