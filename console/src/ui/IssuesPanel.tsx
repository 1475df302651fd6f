import { type ReactNode, useState } from 'react';
import { useStored } from '../live/useStored.ts';
import { IssueList, type IssueRow } from './IssueList.tsx';
import { Panel, type PanelProps } from './Panel.tsx';

interface Props<Issue> extends Pick<PanelProps, 'id' | 'title' | 'icon' | 'place' | 'tab'> {
  /** As they are listed. */
  issues: readonly Issue[];
  row: (issue: Issue) => IssueRow;
  /** The form for a new one; `opened` is told the key of what it made, none when that is not known yet. */
  form: (frame: {
    first: boolean;
    opened: (key: string | undefined) => void;
    cancel: (() => void) | undefined;
  }) => ReactNode;
  view: (issue: Issue, key: string, back: () => void) => ReactNode;
}

/** A tool's issues: the list, one of them open, or the form for a new one. */
export function IssuesPanel<Issue>({ issues, row, form, view, ...panel }: Props<Issue>) {
  const [openKey, setOpenKey] = useStored(`${panel.id}.issue`, '');
  const [writing, setWriting] = useState(false);
  const opened = issues.find((issue) => row(issue).key === openKey);
  const showForm = writing || issues.length === 0;
  const newIssue = (
    <button type="button" className="button panel-action" onClick={() => setWriting(true)}>
      New issue
    </button>
  );

  return (
    <Panel {...panel} actions={!showForm && newIssue}>
      {showForm ? (
        form({
          first: issues.length === 0,
          opened: (key) => {
            setWriting(false);
            setOpenKey(key ?? '');
          },
          cancel: issues.length > 0 ? () => setWriting(false) : undefined,
        })
      ) : opened ? (
        view(opened, openKey, () => setOpenKey(''))
      ) : (
        <div className="panel-scroll">
          <IssueList open={setOpenKey} rows={issues.map(row)} />
        </div>
      )}
    </Panel>
  );
}
