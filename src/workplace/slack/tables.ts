import type { Collection, Emulator } from '../emulator.ts';

export interface SlackMessage {
  id: number;
  ts: string;
  channel_id: string;
  user: string;
  text: string;
  thread_ts?: string;
  bot_id?: string;
  subtype?: string;
  blocks?: unknown[];
  reactions: { name: string; count: number; users: string[] }[];
}

export interface SlackChannel {
  id: number;
  channel_id: string;
  name: string;
  is_im?: boolean;
  is_mpim?: boolean;
  is_private: boolean;
  members: string[];
}

export interface SlackUser {
  id: number;
  user_id: string;
  name: string;
  real_name: string;
  is_bot: boolean;
}

/** The rows of the emulated Slack that the front and the page read, by the names that Slack gives them. */
export class SlackTables {
  readonly #emulator: Emulator;

  constructor(emulator: Emulator) {
    this.#emulator = emulator;
  }

  rows(name: string): Collection {
    return this.#emulator.table(name);
  }

  channel(id: unknown): SlackChannel | undefined {
    return this.#one<SlackChannel>('channels', 'channel_id', id);
  }

  channels(): SlackChannel[] {
    return this.rows('channels').all() as unknown as SlackChannel[];
  }

  user(id: unknown): SlackUser | undefined {
    return this.#one<SlackUser>('users', 'user_id', id);
  }

  users(): SlackUser[] {
    return this.rows('users').all() as unknown as SlackUser[];
  }

  message(channelId: unknown, ts: unknown): SlackMessage | undefined {
    const found = this.rows('messages').findBy('ts', ts) as unknown as SlackMessage[];
    return found.find((message) => message.channel_id === channelId);
  }

  messages(): SlackMessage[] {
    return this.rows('messages').all() as unknown as SlackMessage[];
  }

  /** The bot that a user is, with its app. */
  botOf(userId: string): { bot_id: string; app_id: string; name: string } | undefined {
    const bots = this.rows('bots').all() as unknown as {
      user_id: string;
      bot_id: string;
      app_id: string;
      name: string;
    }[];
    return bots.find((bot) => bot.user_id === userId);
  }

  /** The user whom a token acts for, undefined for an unknown token. */
  tokenUser(token: string): string | undefined {
    const row = this.rows('tokens').findBy('token', token)[0];
    return typeof row?.user_id === 'string' ? row.user_id : undefined;
  }

  #one<Shape>(table: string, field: string, value: unknown): Shape | undefined {
    return this.rows(table).findBy(field, value)[0] as Shape | undefined;
  }
}

/** The kind of a conversation, in the word of `channel_type`. */
export function channelTypeOf(channel: SlackChannel): 'channel' | 'group' | 'im' | 'mpim' {
  if (channel.is_im) return 'im';
  if (channel.is_mpim) return 'mpim';
  return channel.is_private ? 'group' : 'channel';
}
