import type { SlackTables } from './tables.ts';

type Parameters = Record<string, string>;
type Answer = Record<string, unknown> & { ok: boolean };
type Message = Record<string, unknown> & { ts: string };

/** How many messages the emulator is asked for, of which a page is cut here; it is the most that it gives. */
export const fullPage = { limit: '1000' };

/** `conversations.history` with `oldest`, `latest` and `inclusive`, which the emulator leaves out. */
export function pageOfHistory(tables: SlackTables, parameters: Parameters, answer: Answer): Answer {
  const messages = dressed(tables, parameters, answer).filter(({ ts }) => isWithin(ts, parameters));
  const { cursor } = parameters;
  const from = cursor
    ? Math.max(
        0,
        messages.findIndex(({ ts }) => ts <= cursor),
      )
    : 0;
  return paged(answer, [], messages.slice(from), limitOf(parameters, 100));
}

/**
 * `conversations.replies` with what the emulator leaves out: an unknown thread is an error, `oldest`, `latest`, `limit`
 * and `cursor` are obeyed, and the parent comes first on every page. A cursor is the `ts` of the first reply of a page.
 */
export function pageOfReplies(tables: SlackTables, parameters: Parameters, answer: Answer): Answer {
  const all = dressed(tables, parameters, answer);
  const parent = all.find((message) => message.ts === parameters.ts);
  if (!parent) return { ok: false, error: 'thread_not_found' };
  const { cursor } = parameters;
  const replies = all.filter(
    ({ ts }) => ts !== parent.ts && (!cursor || ts >= cursor) && isWithin(ts, parameters),
  );
  return paged(answer, [parent], replies, Math.max(limitOf(parameters, 1000) - 1, 1));
}

/** What Slack adds to messages on the way out, and keeps back unless asked for (`include_all_metadata`). */
function dressed(tables: SlackTables, parameters: Parameters, answer: Answer): Message[] {
  const wanted = isTrue(parameters.include_all_metadata);
  return (answer.messages as Message[]).map((message) => {
    const { metadata, ...rest } = message;
    const bot = message.bot_id ? tables.botOf(String(message.user)) : undefined;
    return {
      ...rest,
      ...(wanted && metadata !== undefined ? { metadata } : {}),
      ...(bot ? { bot_profile: { id: bot.bot_id, app_id: bot.app_id, name: bot.name, deleted: false } } : {}),
      ...(message.reply_count ? { thread_ts: message.ts } : {}),
    };
  });
}

function paged(answer: Answer, before: Message[], messages: Message[], limit: number): Answer {
  const next = messages[limit];
  return {
    ...answer,
    messages: [...before, ...messages.slice(0, limit)],
    has_more: next !== undefined,
    response_metadata: { next_cursor: next?.ts ?? '' },
  };
}

function isWithin(ts: string, { oldest = '0', latest, inclusive }: Parameters): boolean {
  if (ts < oldest || (ts === oldest && !isTrue(inclusive))) return false;
  return !latest || ts < latest || (ts === latest && isTrue(inclusive));
}

function limitOf({ limit }: Parameters, usual: number): number {
  return Math.min(Math.max(Math.floor(Number(limit)) || usual, 1), 1000);
}

function isTrue(value: string | undefined): boolean {
  return value === 'true' || value === '1';
}
