import { ApiError, fetchState, openEvents } from '../api.ts';
import type { WorkplaceState } from '../workplace-api.ts';

export interface Listener {
  /** A state that is newer than every one before. */
  onState(state: WorkplaceState): void;
  /** A state could not be fetched. The connection goes on trying. */
  onError(error: ApiError): void;
  /** Whether changes arrive by themselves right now. */
  onLive(live: boolean): void;
}

export interface Connection {
  /** Fetches the state again now, as after something that this page did. */
  refresh(): void;
  close(): void;
}

const retryMs = { first: 1_000, longest: 10_000 };

/**
 * Keeps a listener up to date: one fetch of the state at a time, again on every `changed`, and a new stream with growing
 * pauses when the old one breaks. A hidden tab lets its stream go, since browsers allow six connections per host.
 */
export function connect(listener: Listener): Connection {
  let closed = false;
  let fetching = false;
  let stale = false;
  let stream: EventSource | undefined;
  let timer: number | undefined;
  let pauseMs = retryMs.first;

  const refresh = async (): Promise<void> => {
    if (closed) return;
    if (fetching) {
      stale = true;
      return;
    }
    fetching = true;
    try {
      const state = await fetchState();
      if (!closed) listener.onState(state);
    } catch (error) {
      if (!closed) listener.onError(error instanceof ApiError ? error : new ApiError(0, String(error)));
    }
    fetching = false;
    if (stale) {
      stale = false;
      void refresh();
    }
  };

  const disconnect = (): void => {
    window.clearTimeout(timer);
    stream?.close();
    stream = undefined;
  };

  const open = (): void => {
    disconnect();
    if (closed || document.hidden) return;
    const opened = openEvents();
    stream = opened;
    opened.addEventListener('open', () => {
      pauseMs = retryMs.first;
      listener.onLive(true);
      // Whatever happened between the last state and this stream was announced to nobody.
      void refresh();
    });
    opened.addEventListener('changed', () => void refresh());
    opened.addEventListener('error', () => {
      opened.close();
      if (closed || stream !== opened) return;
      listener.onLive(false);
      void refresh();
      timer = window.setTimeout(open, pauseMs);
      pauseMs = Math.min(pauseMs * 2, retryMs.longest);
    });
  };

  document.addEventListener('visibilitychange', open);
  window.addEventListener('online', open);
  void refresh();
  open();

  return {
    refresh: () => void refresh(),
    close: () => {
      closed = true;
      document.removeEventListener('visibilitychange', open);
      window.removeEventListener('online', open);
      disconnect();
    },
  };
}
