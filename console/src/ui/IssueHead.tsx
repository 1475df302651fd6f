import { type ReactNode, useEffect, useRef } from 'react';
import { Icon } from './Icon.tsx';

export interface IssueHeadProps {
  reference: string;
  title: string;
  children: ReactNode;
  back: () => void;
}

/** The head of an open issue. It takes the focus when the issue opens, so that a keyboard goes on from here. */
export function IssueHead({ reference, title, children, back }: IssueHeadProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <header className="issue-head">
      <button type="button" className="link-button" onClick={back}>
        <Icon name="back" />
        All issues
      </button>
      <h3 ref={heading} tabIndex={-1}>
        {title} <span className="issue-reference">{reference}</span>
      </h3>
      <div className="issue-detail">{children}</div>
    </header>
  );
}
