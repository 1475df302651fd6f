import { slackTime } from '../text/time.ts';
import { Post } from '../ui/Post.tsx';
import { Reactions } from '../ui/Reactions.tsx';
import { RichText } from '../ui/RichText.tsx';
import type { Person, SlackMessage } from '../workplace-api.ts';

/** One Slack message with its reactions. */
export function Message({ message, people }: { message: SlackMessage; people: Person[] }) {
  return (
    <Post author={message.author} people={people} time={slackTime(message.ts)}>
      <RichText text={message.text} flavor="slack" />
      <Reactions reactions={message.reactions} />
    </Post>
  );
}
