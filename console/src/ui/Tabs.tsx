import type { KeyboardEvent } from 'react';

export interface TabsProps {
  tabs: { id: string; title: string; working: boolean }[];
  open: string;
  choose: (id: string) => void;
}

/** The tools as tabs, for a screen that shows one at a time. Arrow keys move between them. */
export function Tabs({ tabs, open, choose }: TabsProps) {
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (step === 0) return;
    const index = tabs.findIndex(({ id }) => id === open);
    const next = tabs[(index + step + tabs.length) % tabs.length];
    if (next === undefined) return;
    choose(next.id);
    document.getElementById(`${next.id}-tab`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label="Tools" onKeyDown={onKeyDown}>
      {tabs.map(({ id, title, working }) => (
        <button
          key={id}
          id={`${id}-tab`}
          type="button"
          role="tab"
          aria-selected={id === open}
          aria-controls={id === open ? `${id}-panel` : undefined}
          tabIndex={id === open ? 0 : -1}
          onClick={() => choose(id)}
        >
          {title}
          {working && (
            <span className="tab-dot" title="working">
              <span className="visually-hidden"> (working)</span>
            </span>
          )}
        </button>
      ))}
    </div>
  );
}
