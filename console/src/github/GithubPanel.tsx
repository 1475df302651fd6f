import { useState } from 'react';
import { useStored } from '../live/useStored.ts';
import { githubPresence } from '../presence.ts';
import type { ToolProps } from '../tool.ts';
import { IssueList } from '../ui/IssueList.tsx';
import { Panel } from '../ui/Panel.tsx';
import type { GithubIssue } from '../workplace-api.ts';
import { IssueView } from './IssueView.tsx';
import { Labels } from './Labels.tsx';
import { NewIssue } from './NewIssue.tsx';

/** GitHub: the issues of the repository, one of them open, or the form for a new one. */
export function GithubPanel(props: ToolProps) {
  const { state, tab } = props;
  const { issues, repositories } = state.github;
  const [openKey, setOpenKey] = useStored('github.issue', '');
  const [writing, setWriting] = useState(false);
  const opened = issues.find((issue) => keyOf(issue) === openKey);
  const repository = repositories[0];
  const form = writing || issues.length === 0;

  return (
    <Panel
      id="github"
      title="GitHub"
      icon="issue"
      place={repository ? `${repository.owner}/${repository.name}` : ''}
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
          opened={(issue) => {
            setWriting(false);
            setOpenKey(issue.number === undefined ? '' : keyOf({ ...issue, number: issue.number }));
          }}
          cancel={issues.length > 0 ? () => setWriting(false) : undefined}
        />
      ) : opened ? (
        <IssueView {...props} key={openKey} issue={opened} back={() => setOpenKey('')} />
      ) : (
        <div className="panel-scroll">
          <IssueList
            open={setOpenKey}
            rows={issues.toSorted(newestFirst).map((issue) => ({
              key: keyOf(issue),
              reference: `#${issue.number}`,
              title: issue.title,
              detail: <Detail issue={issue} {...props} />,
            }))}
          />
        </div>
      )}
    </Panel>
  );
}

function Detail({ issue, state }: ToolProps & { issue: GithubIssue }) {
  const presence = githubPresence(issue, state.agent);
  const count = issue.comments.length;
  return (
    <>
      <Labels labels={issue.labels} agent={state.agent} />
      <span>
        {presence.working
          ? `${state.agent.name} ${presence.working}`
          : count === 0
            ? 'no comments yet'
            : `${count} ${count === 1 ? 'comment' : 'comments'}`}
      </span>
    </>
  );
}

function keyOf(issue: { owner: string; repo: string; number: number }): string {
  return `${issue.owner}/${issue.repo}#${issue.number}`;
}

function newestFirst(a: GithubIssue, b: GithubIssue): number {
  return b.number - a.number;
}
