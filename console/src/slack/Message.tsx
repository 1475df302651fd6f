import { slackTime } from '../text/time.ts';
import type { ToolProps } from '../tool.ts';
import { Post } from '../ui/Post.tsx';
import { Reactions } from '../ui/Reactions.tsx';
import { RichText } from '../ui/RichText.tsx';
import type { SlackMessage } from '../workplace-api.ts';
import { Buttons } from './Buttons.tsx';

type MessageProps = Pick<ToolProps, 'state' | 'person' | 'refresh'> & {
  message: SlackMessage;
  channel: string;
};

/** One Slack message with its reactions and buttons. */
export function Message({ message, channel, state, person, refresh }: MessageProps) {
  const { ts, buttons = [] } = message;
  return (
    <Post author={message.author} people={state.people} time={slackTime(ts)}>
      <RichText text={message.text} flavor="slack" />
      {buttons.length > 0 && (
        <Buttons buttons={buttons} channel={channel} ts={ts} personId={person.id} refresh={refresh} />
      )}
      <Reactions reactions={message.reactions} />
    </Post>
  );
}
