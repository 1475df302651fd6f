import type { SlackChannel } from '../workplace-api.ts';

export interface ChannelsProps {
  channels: SlackChannel[];
  /** Id of the open channel. */
  open: string;
  choose: (id: string) => void;
}

/** The channels, one of them open. */
export function Channels({ channels, open, choose }: ChannelsProps) {
  return (
    <nav className="channels" aria-label="Channels">
      {channels.map((channel) => (
        <button
          key={channel.id}
          type="button"
          aria-current={channel.id === open ? 'true' : undefined}
          onClick={() => choose(channel.id)}
        >
          {channelTitle(channel)}
        </button>
      ))}
    </nav>
  );
}

/** How a channel is written: `#general`, and `@ada` for a direct message. */
export function channelTitle({ name }: SlackChannel): string {
  return name.startsWith('@') ? name : `#${name}`;
}
