import type { ComponentType } from 'react';
import { GithubPanel } from '../github/GithubPanel.tsx';
import { LinearPanel } from '../linear/LinearPanel.tsx';
import { useMediaQuery } from '../live/useMediaQuery.ts';
import { useStored } from '../live/useStored.ts';
import { workingIn } from '../presence.ts';
import { SlackPanel } from '../slack/SlackPanel.tsx';
import type { ToolProps } from '../tool.ts';
import { Tabs } from '../ui/Tabs.tsx';

const tools: { id: string; title: string; Tool: ComponentType<ToolProps> }[] = [
  { id: 'slack', title: 'Slack', Tool: SlackPanel },
  { id: 'github', title: 'GitHub', Tool: GithubPanel },
  { id: 'linear', title: 'Linear', Tool: LinearPanel },
];

/** The three tools: beside each other where there is room, else one at a time behind tabs. */
export function Tools(props: ToolProps) {
  // The same width as in layout.css.
  const wide = useMediaQuery('(min-width: 1080px)');
  const [chosen, choose] = useStored('tool', 'slack');
  if (wide) {
    return (
      <main className="tools">
        {tools.map(({ id, Tool }) => (
          <Tool key={id} {...props} />
        ))}
      </main>
    );
  }
  const open = tools.find(({ id }) => id === chosen) ?? tools[0];
  if (open === undefined) return null;
  const working = workingIn(props.state);
  return (
    <main className="tools tools-tabbed">
      <Tabs
        tabs={tools.map(({ id, title }) => ({ id, title, working: working.includes(title) }))}
        open={open.id}
        choose={choose}
      />
      <open.Tool key={open.id} {...props} tab={{ labelledBy: `${open.id}-tab` }} />
    </main>
  );
}
