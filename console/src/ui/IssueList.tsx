import type { ReactNode } from 'react';

export interface IssueRow {
  key: string;
  /** `#3` or `ENG-3`. */
  reference: string;
  title: string;
  /** What follows below the title: labels, state, who works on it. */
  detail: ReactNode;
}

/** A list of issues, each opened by one click. */
export function IssueList({ rows, open }: { rows: IssueRow[]; open: (key: string) => void }) {
  return (
    <ul className="issue-list">
      {rows.map((row) => (
        <li key={row.key}>
          <button type="button" onClick={() => open(row.key)}>
            <span className="issue-title">
              <span className="issue-reference">{row.reference}</span> {row.title}
            </span>
            <span className="issue-detail">{row.detail}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
