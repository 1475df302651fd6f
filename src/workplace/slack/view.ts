import type { SlackWorkspace } from './slack.ts';
import type { SlackMessage, SlackTables } from './tables.ts';

/** A thread as the page shows it; a message that nobody answered is a thread of one. */
export interface ThreadView {
  channel: string;
  threadTs: string;
  /** "… is thinking", where the agent has set it. */
  status?: string;
  messages: {
    ts: string;
    author: { name: string; isBot: boolean };
    text: string;
    reactions: { name: string; count: number }[];
    /** Left out where there are none. */
    buttons?: SlackButton[];
  }[];
}

/** A button under a message, by the value that pressing it sends. */
export interface SlackButton {
  label: string;
  actionId: string;
  value: string;
}

interface ButtonElement {
  type?: string;
  text?: { text?: string };
  action_id?: string;
  value?: string;
}

/** The buttons of a message's blocks. */
export function buttonsOf({ blocks }: SlackMessage): SlackButton[] {
  const elements = (blocks ?? []).flatMap((block) => {
    const { type, elements } = block as { type?: string; elements?: ButtonElement[] };
    return type === 'actions' ? (elements ?? []) : [];
  });
  return elements.flatMap(({ type, text, action_id: actionId, value }) =>
    type === 'button' && actionId && value ? [{ label: text?.text ?? value, actionId, value }] : [],
  );
}

/** All threads, oldest first. */
export function slackThreads({ tables, statuses }: SlackWorkspace, nowMs: number): ThreadView[] {
  const threads = new Map<string, ThreadView>();
  const inOrder = tables.messages().sort((a, b) => (a.ts < b.ts ? -1 : 1));
  for (const message of inOrder) {
    const threadTs = message.thread_ts ?? message.ts;
    const key = `${message.channel_id}:${threadTs}`;
    const status = statuses.get(message.channel_id, threadTs, nowMs);
    const thread = threads.get(key) ?? {
      channel: message.channel_id,
      threadTs,
      ...(status ? { status } : {}),
      messages: [],
    };
    threads.set(key, thread);
    if (message.subtype === undefined) thread.messages.push(shown(tables, message));
  }
  return [...threads.values()].filter(({ messages }) => messages.length > 0);
}

function shown(tables: SlackTables, message: SlackMessage): ThreadView['messages'][number] {
  const user = tables.user(message.user);
  const buttons = buttonsOf(message);
  return {
    ...(buttons.length > 0 ? { buttons } : {}),
    ts: message.ts,
    author: { name: user?.real_name ?? message.user, isBot: user?.is_bot ?? false },
    text: readable(tables, message.text),
    reactions: message.reactions.map(({ name, count }) => ({ name, count })),
  };
}

/** Slack's markup as a reader sees it: mentions by handle, links by label, and its three escapes undone. */
function readable(tables: SlackTables, text: string): string {
  return text
    .replace(/<@([UW][A-Z0-9]+)(?:\|[^>]*)?>/g, (_whole, id: string) => `@${tables.user(id)?.name ?? id}`)
    .replace(
      /<((?:https?|mailto):[^|>]+)(?:\|([^>]*))?>/g,
      (_whole, url: string, label?: string) => label ?? url,
    )
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');
}

/** What a person types as Slack's own client sends it: its three characters escaped, handles as mentions. */
export function typed(tables: SlackTables, text: string): string {
  const byHandle = new Map(tables.users().map((user) => [user.name.toLowerCase(), user.user_id]));
  return text
    .replace(/&/g, '&amp;')
    .replace(/<(?!@[UW][A-Z0-9]+>)/g, '&lt;')
    .replace(/(?<!<@[UW][A-Z0-9]*)>/g, '&gt;')
    .replace(/(^|[\s(])@([a-z0-9][a-z0-9._-]*)/gi, (whole, before: string, handle: string) => {
      const plain = handle.toLowerCase().replace(/[._-]+$/, '');
      const id = byHandle.get(plain);
      return id ? `${before}<@${id}>${handle.slice(plain.length)}` : whole;
    });
}
