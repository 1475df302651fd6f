import type { Person, WorkplaceState } from './workplace-api.ts';

/** What each of the three tools is given. */
export interface ToolProps {
  state: WorkplaceState;
  /** Who acts. */
  person: Person;
  /** Fetches the state again now. */
  refresh: () => void;
  /** Set when the tool is shown as one of several tabs. */
  tab?: { labelledBy: string } | undefined;
}
