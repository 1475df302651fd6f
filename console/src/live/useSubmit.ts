import { useCallback, useRef, useState } from 'react';

export interface Submit {
  busy: boolean;
  /** What went wrong the last time, in words; undefined while trying and after success. */
  error: string | undefined;
  /** Runs the action unless one is running; true when it succeeded. */
  run(action: () => Promise<unknown>): Promise<boolean>;
}

/** One action at a time, with its failure kept as words to show beside the control. */
export function useSubmit(): Submit {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const running = useRef(false);

  const run = useCallback(async (action: () => Promise<unknown>) => {
    // State is set too late for a second click in the same frame.
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setError(undefined);
    try {
      await action();
      return true;
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure));
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  }, []);

  return { busy, error, run };
}
