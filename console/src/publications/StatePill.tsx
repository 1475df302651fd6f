import { stateWords } from './words.ts';

/** A publication's state. */
export function StatePill({ state }: { state: string }) {
  const { words, tone } = stateWords[state] ?? { words: state, tone: 'quiet' };
  return <span className={`state-pill state-${tone}`}>{words}</span>;
}
