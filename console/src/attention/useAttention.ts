import { usePolled } from '../live/usePolled.ts';
import { countWaitingApprovals, listOpenNotices, type Notice } from './api.ts';

export interface Attention {
  notices: Notice[];
  waiting: number;
}

const everyMs = 5_000;
const nothing: Attention = { notices: [], waiting: 0 };
const ask = async (): Promise<Attention> => {
  const [notices, waiting] = await Promise.all([listOpenNotices(), countWaitingApprovals()]);
  return { notices, waiting };
};

/** What waits for an admin, wherever in the console they are. What cannot be asked now is asked again. */
export function useAttention(): Attention {
  return usePolled(ask, everyMs).value ?? nothing;
}
