import type { LinearSession } from '../workplace-api.ts';

const words: Record<string, { label: string; tone: string }> = {
  pending: { label: 'Starting', tone: 'busy' },
  active: { label: 'Working', tone: 'busy' },
  awaitingInput: { label: 'Waiting for you', tone: 'attention' },
  complete: { label: 'Done', tone: 'good' },
  error: { label: 'Failed', tone: 'bad' },
  stale: { label: 'Gone quiet', tone: 'quiet' },
  unresponsive: { label: 'Not responding', tone: 'attention' },
  stopping: { label: 'Stopping', tone: 'busy' },
};

/** The status of a Linear agent session, in words. */
export function StatusPill({ session }: { session: LinearSession }) {
  const status = session.unresponsive ? 'unresponsive' : session.status;
  const { label, tone } = words[status] ?? { label: status, tone: 'quiet' };
  return <span className={`pill pill-${tone}`}>{label}</span>;
}
