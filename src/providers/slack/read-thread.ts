import type { People } from '../people.ts';
import type { ProviderContext, ToolResult, ToolTarget } from '../provider.ts';
import { renderTranscript, type TranscriptEntry, writersOf } from '../transcript.ts';
import { callSlack, slackClient } from './client.ts';
import { isOwn, type SlackMessage, slackMessageSchema } from './message.ts';
import { threadOf } from './send.ts';
import { readableText } from './text.ts';

const pageSize = 200;
const maxPages = 10;
const maxNamesAsked = 30;

/** The newest messages of the thread, at most `limit`, with the names of their authors. */
export async function readThread(
  context: ProviderContext,
  target: ToolTarget,
  limit: number,
  people: People,
): Promise<ToolResult> {
  const { channel, threadTs } = threadOf(target);
  const messages = await fetchReplies(context, channel, threadTs);
  const shown = messages.slice(-limit);
  // The root says what the thread is about.
  const root = messages[0];
  if (root && !shown.includes(root)) shown.unshift(root);
  const names = await namesOf(context, shown, people);
  const entries = shown.map((message) => entryOf(message, context, names));
  return {
    text: renderTranscript('Messages of this Slack thread.', entries, {
      leftOut: messages.length - shown.length,
    }),
    writers: writersOf(entries),
  };
}

async function fetchReplies(
  context: ProviderContext,
  channel: string,
  threadTs: string,
): Promise<SlackMessage[]> {
  const byTs = new Map<string, SlackMessage>();
  let cursor: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const answer = await callSlack('conversations.replies', () =>
      slackClient(context.fetch).conversations.replies({
        channel,
        ts: threadTs,
        limit: pageSize,
        ...(cursor ? { cursor } : {}),
      }),
    );
    // Every page repeats the root.
    for (const candidate of answer.messages ?? []) {
      const message = slackMessageSchema.safeParse(candidate);
      if (message.success && message.data.ts) byTs.set(message.data.ts, message.data);
    }
    cursor = answer.response_metadata?.next_cursor;
    if (!cursor) break;
  }
  return [...byTs.values()].sort((a, b) => compareTs(a.ts ?? '', b.ts ?? ''));
}

/** Timestamps are `<seconds>.<6 digits>`, too long for a float. */
function compareTs(a: string, b: string): number {
  const key = (ts: string) => {
    const [seconds = '', fraction = ''] = ts.split('.');
    return seconds.padStart(12, '0') + fraction.padEnd(9, '0');
  };
  return key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0;
}

async function namesOf(
  context: ProviderContext,
  messages: readonly SlackMessage[],
  people: People,
): Promise<Record<string, string>> {
  const ids = new Set<string>();
  for (const message of messages) {
    if (message.user && !isOwn(message, context.identity)) ids.add(message.user);
    for (const [, id] of (message.text ?? '').matchAll(/<@([UW][A-Z0-9]+)>/g)) if (id) ids.add(id);
  }
  const asked = [...ids].slice(0, maxNamesAsked);
  // A name that cannot be had leaves the id.
  const answers = await Promise.allSettled(asked.map((id) => people.person(context, id)));
  const names: Record<string, string> = {};
  for (const answer of answers) {
    if (answer.status === 'fulfilled') names[answer.value.id] = answer.value.name;
  }
  const { userId, handle } = context.identity;
  if (userId && handle) names[userId] = handle;
  return names;
}

function entryOf(
  message: SlackMessage,
  context: ProviderContext,
  names: Readonly<Record<string, string>>,
): TranscriptEntry {
  const authorId = message.user ?? message.bot_id ?? undefined;
  const files = (message.files ?? []).map((file) => `[file: ${file.name ?? file.id ?? 'unnamed'}]`);
  return {
    id: message.ts ?? '',
    author: (authorId && names[authorId]) || authorId || 'unknown',
    ...(authorId ? { authorId } : {}),
    kind: isOwn(message, context.identity) ? 'you' : message.bot_id ? 'bot' : 'person',
    text: [readableText(message.text ?? '', names), ...files].filter((part) => part !== '').join('\n'),
  };
}
