import { useCallback, useEffect, useRef, useState } from 'react';
import type { ApiError } from '../api.ts';
import type { WorkplaceState } from '../workplace-api.ts';
import { type Connection, connect } from './connection.ts';

export interface Workplace {
  /** The newest state; undefined until the first one came. */
  state: WorkplaceState | undefined;
  /** Why the last fetch failed; undefined once one succeeded again. */
  error: ApiError | undefined;
  /** False while the stream of changes is broken. */
  live: boolean;
  refresh: () => void;
}

/** The workplace as it is right now, kept up to date for as long as the component is shown. */
export function useWorkplace(): Workplace {
  const [state, setState] = useState<WorkplaceState>();
  const [error, setError] = useState<ApiError>();
  const [live, setLive] = useState(true);
  const connection = useRef<Connection>(undefined);

  useEffect(() => {
    const opened = connect({
      onState: (next) => {
        setState(next);
        setError(undefined);
      },
      onError: setError,
      onLive: setLive,
    });
    connection.current = opened;
    return () => opened.close();
  }, []);

  const refresh = useCallback(() => connection.current?.refresh(), []);
  return { state, error, live, refresh };
}
