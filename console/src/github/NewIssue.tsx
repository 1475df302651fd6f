import { openGithubIssue } from '../api.ts';
import type { ToolProps } from '../tool.ts';
import { Empty } from '../ui/Empty.tsx';
import { IssueForm } from '../ui/IssueForm.tsx';

export interface NewIssueProps extends ToolProps {
  /** Whether it is the first one, which gets an example and a word of welcome. */
  first: boolean;
  /** Called with what was made; without a number when the server did not say it. */
  opened: (issue: { owner: string; repo: string; number?: number | undefined }) => void;
  cancel: (() => void) | undefined;
}

/** The form of a new GitHub issue. */
export function NewIssue({ state, person, refresh, first, opened, cancel }: NewIssueProps) {
  const { agent } = state;
  const repository = state.github.repositories[0];
  if (repository === undefined) {
    return <Empty title="No repository">This workplace has no repository to open an issue in.</Empty>;
  }
  const { owner, name: repo } = repository;

  return (
    <div className="panel-scroll">
      {first && (
        <Empty title="No issues yet">
          A first one is filled in below. With the label <code>{agent.label}</code> on it, {agent.name}{' '}
          answers in a comment.
        </Empty>
      )}
      <IssueForm
        draftKey="github"
        initial={
          first
            ? {
                title: 'Which system do our builds run on?',
                text: 'Run `uname -a` and tell me what it says.',
              }
            : { title: '', text: '' }
        }
        textLabel="Description"
        tagLabel={`Add label “${agent.label}”`}
        tagHint={`The label is what asks ${agent.name} to start.`}
        submitLabel="Open issue"
        cancel={cancel}
        submit={async ({ title, text, tagged }) => {
          const labels = tagged ? { labels: [agent.label] } : {};
          const made = await openGithubIssue({
            personId: person.id,
            owner,
            repo,
            title,
            body: text,
            ...labels,
          });
          refresh();
          opened({ owner, repo, number: made?.number });
        }}
      />
    </div>
  );
}
