import type { ToolProps } from '../tool.ts';
import { IssuesPanel } from '../ui/IssuesPanel.tsx';
import type { LinearIssue } from '../workplace-api.ts';
import { IssueView } from './IssueView.tsx';
import { NewIssue } from './NewIssue.tsx';
import { StatusPill } from './StatusPill.tsx';

/** Linear: the issues, one of them open with the agent's sessions on it, or the form for a new one. */
export function LinearPanel(props: ToolProps) {
  const { issues } = props.state.linear;
  return (
    <IssuesPanel
      id="linear"
      title="Linear"
      icon="ticket"
      place={teamOf(issues)}
      tab={props.tab}
      issues={issues.toSorted(newestFirst)}
      row={(issue) => ({
        key: issue.id,
        reference: issue.identifier,
        title: issue.title,
        detail: <Detail issue={issue} />,
      })}
      form={(frame) => <NewIssue {...props} {...frame} />}
      view={(issue, key, back) => <IssueView {...props} key={key} issue={issue} back={back} />}
    />
  );
}

function Detail({ issue }: { issue: LinearIssue }) {
  const session = issue.sessions.at(-1);
  return (
    <>
      <span>{issue.state}</span>
      {session === undefined ? <span>not delegated</span> : <StatusPill session={session} />}
    </>
  );
}

function teamOf(issues: LinearIssue[]): string {
  const key = issues[0]?.identifier.split('-')[0];
  return key ? `team ${key}` : '';
}

function newestFirst(a: LinearIssue, b: LinearIssue): number {
  return numberOf(b) - numberOf(a);
}

function numberOf({ identifier }: LinearIssue): number {
  return Number(identifier.split('-')[1] ?? 0);
}
