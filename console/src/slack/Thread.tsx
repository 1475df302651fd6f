import { useState } from 'react';
import { postSlackMessage } from '../api.ts';
import { slackPresence } from '../presence.ts';
import type { ToolProps } from '../tool.ts';
import { Composer } from '../ui/Composer.tsx';
import { WaitNote } from '../ui/WaitNote.tsx';
import type { SlackThread } from '../workplace-api.ts';
import { Message } from './Message.tsx';

const shownReplies = 8;

/** One thread: its first message, the replies, what the agent does there, and a field to reply in. */
export function Thread({ thread, state, person, refresh }: ToolProps & { thread: SlackThread }) {
  const [open, setOpen] = useState(false);
  const { agent } = state;
  const context = { channel: thread.channel, state, person, refresh };
  const [first, ...replies] = thread.messages;
  if (first === undefined) return null;
  const hidden = open ? 0 : Math.max(0, replies.length - shownReplies);
  const answered = replies.some(({ author }) => author.isBot);
  const onlyOnce = thread.messages.filter(({ author }) => !author.isBot).length === 1;

  const send = async (text: string) => {
    await postSlackMessage({ personId: person.id, channel: thread.channel, text, threadTs: thread.threadTs });
    refresh();
  };

  return (
    <section className="thread" aria-label={`Thread started by ${first.author.name}`}>
      <Message message={first} {...context} />
      <div className="thread-replies">
        {hidden > 0 && (
          <button type="button" className="link-button" onClick={() => setOpen(true)}>
            Show {hidden} earlier {hidden === 1 ? 'reply' : 'replies'}
          </button>
        )}
        {replies.slice(hidden).map((message) => (
          <Message key={message.ts} message={message} {...context} />
        ))}
        <WaitNote presence={slackPresence(thread, agent, Date.now())} agent={agent} />
        <Composer
          draftKey={`slack.${thread.channel}.${thread.threadTs}`}
          label="Reply in thread"
          examples={answered && onlyOnce ? ['What did I ask first?'] : []}
          sendLabel="Reply"
          enterSends
          compact
          send={send}
        />
      </div>
    </section>
  );
}
