import { githubPresence } from '../presence.ts';
import type { ToolProps } from '../tool.ts';
import { IssuesPanel } from '../ui/IssuesPanel.tsx';
import type { GithubIssue } from '../workplace-api.ts';
import { IssueView } from './IssueView.tsx';
import { Labels } from './Labels.tsx';
import { NewIssue } from './NewIssue.tsx';

/** GitHub: the issues of the repository, one of them open, or the form for a new one. */
export function GithubPanel(props: ToolProps) {
  const { issues, repositories } = props.state.github;
  const repository = repositories[0];
  return (
    <IssuesPanel
      id="github"
      title="GitHub"
      icon="issue"
      place={repository ? `${repository.owner}/${repository.name}` : ''}
      tab={props.tab}
      issues={issues.toSorted(newestFirst)}
      row={(issue) => ({
        key: keyOf(issue),
        reference: `#${issue.number}`,
        title: issue.title,
        detail: <Detail issue={issue} {...props} />,
      })}
      form={({ first, opened, cancel }) => (
        <NewIssue
          {...props}
          first={first}
          opened={({ number, ...rest }) =>
            opened(number === undefined ? undefined : keyOf({ ...rest, number }))
          }
          cancel={cancel}
        />
      )}
      view={(issue, key, back) => <IssueView {...props} key={key} issue={issue} back={back} />}
    />
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
