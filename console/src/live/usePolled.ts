import { useCallback, useEffect, useState } from 'react';
import { ApiError } from '../api.ts';

/** What `ask` answers, asked again every `everyMs` while the page is looked at; null stops the asking. */
export function usePolled<T>(ask: () => Promise<T>, everyMs: number | null) {
  const [value, setValue] = useState<T>();
  const [error, setError] = useState<ApiError>();
  const refresh = useCallback(async () => {
    try {
      setValue(await ask());
      setError(undefined);
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown)));
    }
  }, [ask]);
  useEffect(() => {
    void refresh();
  }, [refresh]);
  useEffect(() => {
    if (everyMs === null) return;
    const timer = window.setInterval(() => {
      if (document.visibilityState === 'visible') void refresh();
    }, everyMs);
    return () => window.clearInterval(timer);
  }, [refresh, everyMs]);
  return { value, error, refresh, setValue };
}
