import { useCallback, useState } from 'react';
import { ApiError } from '../api.ts';

/** Runs one thing at a time and keeps what went wrong, in words. */
export function useAction() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string>();
  const run = useCallback(async (work: () => Promise<unknown>) => {
    setBusy(true);
    setProblem(undefined);
    try {
      await work();
    } catch (error) {
      setProblem(
        error instanceof ApiError ? error.message : 'Something went wrong in this page. Load it again.',
      );
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, problem, run };
}
