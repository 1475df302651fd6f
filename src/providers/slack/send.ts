import { z } from 'zod';
import { type ProviderContext, ProviderError, type ToolResult, type ToolTarget } from '../provider.ts';
import { callSlack, slackClient } from './client.ts';
import { isOwn, slackMessageSchema } from './message.ts';
import { toMrkdwn } from './mrkdwn.ts';
import { splitPosts } from './split.ts';

/** The `event_type` of the metadata by which our posts are found again. */
export const outboxEventType = 'tagalong_outbox';

const pageSize = 200;
const maxPages = 100;

/** A message with the metadata that we write. */
export const markedSchema = slackMessageSchema.extend({
  metadata: z
    .object({
      event_type: z.string(),
      event_payload: z.object({ mark: z.string(), part: z.coerce.number().optional() }),
    })
    .nullish(),
});

export interface ThreadPlace {
  channel: string;
  threadTs: string;
}

/** The thread that a tool acts in. Throws ProviderError `refused` for a place that is no Slack thread. */
export function threadOf(target: ToolTarget): ThreadPlace {
  const { channel, thread_ts: threadTs } = target.place;
  if (!channel || !threadTs) throw new ProviderError('refused', 'The place is not a Slack thread.');
  return { channel, threadTs };
}

/** Posts a Markdown text into the thread, as one post or several. Each carries the mark and its number. */
export async function postInThread(
  context: ProviderContext,
  text: string,
  target: ToolTarget,
  mark: string,
): Promise<ToolResult> {
  return postParts(context, text, target, mark, new Map());
}

/**
 * Looks for posts with the mark in the thread. Finds none: undefined. Finds some of several: posts those that are
 * missing, so that the whole is there once.
 */
export async function reconcileThread(
  context: ProviderContext,
  text: string,
  target: ToolTarget,
  mark: string,
): Promise<ToolResult | undefined> {
  const found = await findParts(context, target, mark);
  return found.size === 0 ? undefined : postParts(context, text, target, mark, found);
}

async function postParts(
  context: ProviderContext,
  text: string,
  target: ToolTarget,
  mark: string,
  present: ReadonlyMap<number, string>,
): Promise<ToolResult> {
  const { channel, threadTs } = threadOf(target);
  const parts = splitPosts(toMrkdwn(text));
  if (parts.length === 0) throw new ProviderError('refused', 'There is no text to post.');
  const posted = new Map(present);
  for (const [index, part] of parts.entries()) {
    const number = index + 1;
    if (posted.has(number)) continue;
    try {
      const answer = await callSlack('chat.postMessage', () =>
        slackClient(context.fetch).chat.postMessage({
          channel,
          thread_ts: threadTs,
          text: part,
          unfurl_links: false,
          unfurl_media: false,
          metadata: metadataOf(mark, number, target),
        }),
      );
      posted.set(number, answer.ts ?? '');
    } catch (error) {
      throw posted.size > 0 ? halfDone(error) : error;
    }
  }
  return {
    text: parts.length === 1 ? 'Posted in the thread.' : `Posted in the thread, in ${parts.length} posts.`,
    ref: { channel, ts: posted.get(1) ?? '', thread_ts: threadTs },
  };
}

/** What is written beside a post: how it is found again, and how many agents' posts led to it. */
export function metadataOf(mark: string, part: number, { hops }: ToolTarget) {
  const event_payload = { mark, part, ...(hops === undefined ? {} : { hops }) };
  return { event_type: outboxEventType, event_payload };
}

/** Part of the text is there: the next try must look before it posts. */
function halfDone(error: unknown): unknown {
  if (!(error instanceof ProviderError)) return error;
  return new ProviderError(error.code, error.message, {
    mayHaveArrived: true,
    cause: error.cause,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  });
}

/** Our posts with this mark, by part number. Reads the thread from the message that was answered to its end. */
export async function findParts(
  context: ProviderContext,
  target: ToolTarget,
  mark: string,
): Promise<Map<number, string>> {
  const { channel, threadTs } = threadOf(target);
  const found = new Map<number, string>();
  let cursor: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const answer = await callSlack('conversations.replies', () =>
      slackClient(context.fetch).conversations.replies({
        channel,
        ts: threadTs,
        oldest: target.message?.ts ?? threadTs,
        inclusive: true,
        include_all_metadata: true,
        limit: pageSize,
        ...(cursor ? { cursor } : {}),
      }),
    );
    for (const candidate of answer.messages ?? []) {
      const message = markedSchema.safeParse(candidate);
      if (!message.success || message.data.metadata?.event_type !== outboxEventType) continue;
      if (message.data.metadata.event_payload.mark !== mark || !isOwn(message.data, context.identity))
        continue;
      found.set(message.data.metadata.event_payload.part ?? 1, message.data.ts ?? '');
    }
    const next = answer.response_metadata?.next_cursor;
    if (!next) return found;
    if (next === cursor) break;
    cursor = next;
  }
  throw new ProviderError('unavailable', 'The thread is too long to see whether the post is in it.', {
    mayHaveArrived: true,
  });
}
