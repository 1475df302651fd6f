import { useEffect, useState } from 'react';

export type Wait = 'none' | 'waiting' | 'overdue';

const overdueMs = 20_000;

/**
 * How long the agent has left a message without any sign. `asked` identifies the message (undefined: nothing was asked);
 * `sign` is whether the agent shows one now. Once a sign was seen, the same message does not wait again: an agent
 * may end its turn without a word.
 */
export function useWait(asked: string | undefined, sign: boolean): Wait {
  const [seen, setSeen] = useState<string>();
  const [overdue, setOverdue] = useState<string>();
  const waiting = asked !== undefined && !sign && seen !== asked;

  useEffect(() => {
    if (sign && asked !== undefined) setSeen(asked);
  }, [sign, asked]);

  useEffect(() => {
    if (!waiting) return;
    const timer = window.setTimeout(() => setOverdue(asked), overdueMs);
    return () => window.clearTimeout(timer);
  }, [waiting, asked]);

  if (!waiting) return 'none';
  return overdue === asked ? 'overdue' : 'waiting';
}
