import type { Agent } from '../workplace-api.ts';

/** The labels of an issue; the one that wakes the agent stands out. */
export function Labels({ labels, agent }: { labels: string[]; agent: Agent }) {
  if (labels.length === 0) return null;
  return (
    <ul className="labels" aria-label="Labels">
      {labels.map((label) => (
        <li key={label} className={label === agent.label ? 'label label-agent' : 'label'}>
          {label}
        </li>
      ))}
    </ul>
  );
}
