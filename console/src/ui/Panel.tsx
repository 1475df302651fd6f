import type { ReactNode } from 'react';
import { Icon, type IconName } from './Icon.tsx';

export interface PanelProps {
  /** Also names the panel's colour: `slack`, `github` or `linear`. */
  id: string;
  title: string;
  icon: IconName;
  /** What this place is, as `acme/widgets`. */
  place: string;
  /** Controls at the right end of the head. */
  actions?: ReactNode;
  /** Set when the panel is one of several tabs. */
  tab?: { labelledBy: string } | undefined;
  children: ReactNode;
}

/** One of the three tools: a head, and below it what scrolls and what stays. */
export function Panel({ id, title, icon, place, actions, tab, children }: PanelProps) {
  const heading = `${id}-heading`;
  return (
    <section
      id={`${id}-panel`}
      className={`panel panel-${id}`}
      role={tab ? 'tabpanel' : undefined}
      aria-labelledby={tab?.labelledBy ?? heading}
    >
      <header className="panel-head">
        <span className="panel-icon">
          <Icon name={icon} />
        </span>
        <h2 id={heading}>{title}</h2>
        <span className="panel-place">{place}</span>
        {actions}
      </header>
      {children}
    </section>
  );
}
