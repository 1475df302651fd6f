import { useState } from 'react';
import { useStored } from '../live/useStored.ts';
import type { ToolProps } from '../tool.ts';
import { IssueList } from '../ui/IssueList.tsx';
import { Panel } from '../ui/Panel.tsx';
import type { LinearIssue } from '../workplace-api.ts';
import { IssueView } from './IssueView.tsx';
import { NewIssue } from './NewIssue.tsx';
import { StatusPill } from './StatusPill.tsx';

/** Linear: the issues, one of them open with the agent's sessions on it, or the form for a new one. */
export function LinearPanel(props: ToolProps) {
  const { state, tab } = props;
  const { issues } = state.linear;
  const [openId, setOpenId] = useStored('linear.issue', '');
  const [writing, setWriting] = useState(false);
  const opened = issues.find(({ id }) => id === openId);
  const form = writing || issues.length === 0;

  return (
    <Panel
      id="linear"
      title="Linear"
      icon="ticket"
      place={teamOf(issues)}
      tab={tab}
      actions={
        !form && (
          <button type="button" className="button panel-action" onClick={() => setWriting(true)}>
            New issue
          </button>
        )
      }
    >
      {form ? (
        <NewIssue
          {...props}
          first={issues.length === 0}
          opened={(id) => {
            setWriting(false);
            setOpenId(id ?? '');
          }}
          cancel={issues.length > 0 ? () => setWriting(false) : undefined}
        />
      ) : opened ? (
        <IssueView {...props} key={openId} issue={opened} back={() => setOpenId('')} />
      ) : (
        <div className="panel-scroll">
          <IssueList
            open={setOpenId}
            rows={issues.toSorted(newestFirst).map((issue) => ({
              key: issue.id,
              reference: issue.identifier,
              title: issue.title,
              detail: <Detail issue={issue} />,
            }))}
          />
        </div>
      )}
    </Panel>
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
