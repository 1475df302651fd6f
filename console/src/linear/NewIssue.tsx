import { openLinearIssue } from '../api.ts';
import type { ToolProps } from '../tool.ts';
import { Empty } from '../ui/Empty.tsx';
import { IssueForm } from '../ui/IssueForm.tsx';

export interface NewIssueProps extends ToolProps {
  /** Whether it is the first one, which gets an example and a word of welcome. */
  first: boolean;
  /** Called with the new issue's id; undefined when the server did not say it. */
  opened: (id: string | undefined) => void;
  cancel: (() => void) | undefined;
}

/** The form of a new Linear issue. */
export function NewIssue({ state, person, refresh, first, opened, cancel }: NewIssueProps) {
  const { agent } = state;
  return (
    <div className="panel-scroll">
      {first && (
        <Empty title="No issues yet">
          A first one is filled in below. Delegate it to {agent.name}, and you see what it thinks, what it
          does, and its answer.
        </Empty>
      )}
      <IssueForm
        draftKey="linear"
        initial={
          first
            ? { title: 'How much disk space is left?', text: 'Run `df -h /tmp` and say how much is free.' }
            : { title: '', text: '' }
        }
        textLabel="Description"
        tagLabel={`Delegate to ${agent.name}`}
        tagHint={`${agent.name} starts at once; the issue stays yours.`}
        submitLabel="Create issue"
        cancel={cancel}
        submit={async ({ title, text, tagged }) => {
          const made = await openLinearIssue({
            personId: person.id,
            title,
            description: text,
            delegate: tagged,
          });
          refresh();
          opened(made?.id);
        }}
      />
    </div>
  );
}
