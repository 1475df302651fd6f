import { postSlackMessage } from '../api.ts';
import { useStored } from '../live/useStored.ts';
import type { ToolProps } from '../tool.ts';
import { Composer } from '../ui/Composer.tsx';
import { Empty } from '../ui/Empty.tsx';
import { Panel } from '../ui/Panel.tsx';
import { useBottom } from '../ui/useBottom.ts';
import { Channels, channelTitle } from './Channels.tsx';
import { Thread } from './Thread.tsx';

/** Slack: the channels, the threads of the open one, and a field to write in. */
export function SlackPanel({ state, person, refresh, tab }: ToolProps) {
  const { agent, slack } = state;
  const [chosen, choose] = useStored('slack.channel', '');
  const channel = slack.channels.find(({ id }) => id === chosen) ?? slack.channels[0];
  const threads = slack.threads
    .filter((thread) => thread.channel === channel?.id)
    .sort((a, b) => Number(a.threadTs) - Number(b.threadTs));
  const box = useBottom(channel?.id ?? '', threads);
  const examples = [
    `${agent.slackHandle} run \`uname -a\` and tell me what it says`,
    `${agent.slackHandle} what can you do here?`,
  ];

  if (channel === undefined) {
    return (
      <Panel id="slack" title="Slack" icon="hash" place="" tab={tab}>
        <Empty title="No channels">This workplace has no Slack channel to write in.</Empty>
      </Panel>
    );
  }
  const title = channelTitle(channel);
  const send = async (text: string) => {
    await postSlackMessage({ personId: person.id, channel: channel.id, text });
    refresh();
  };

  return (
    <Panel
      id="slack"
      title="Slack"
      icon="hash"
      place=""
      tab={tab}
      actions={<Channels channels={slack.channels} open={channel.id} choose={choose} />}
    >
      <div className="panel-scroll" ref={box} role="log" aria-label={`Messages in ${title}`}>
        {threads.length === 0 && (
          <Empty title={`Nothing in ${title} yet`}>
            {slack.threads.length === 0
              ? `A first message is ready below: press Send. ${agent.name} answers in a thread under it.`
              : `Mention ${agent.slackHandle}, and ${agent.name} answers in a thread under your message.`}
          </Empty>
        )}
        {threads.map((thread) => (
          <Thread key={thread.threadTs} thread={thread} state={state} person={person} refresh={refresh} />
        ))}
      </div>
      <Composer
        key={channel.id}
        draftKey={`slack.${channel.id}`}
        label={`Message ${title}`}
        initial={slack.threads.length === 0 ? examples[0] : ''}
        examples={threads.length === 0 ? examples : []}
        sendLabel="Send"
        enterSends
        send={send}
      />
    </Panel>
  );
}
