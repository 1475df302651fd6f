/** A fetch each of whose requests ends when `signal` does; none is started after that. */
export function boundedFetch(base: typeof fetch, signal: AbortSignal): typeof fetch {
  return async (input, init) => {
    signal.throwIfAborted();
    const own = init?.signal ?? (input instanceof Request ? input.signal : undefined);
    return base(input, { ...init, signal: own ? AbortSignal.any([own, signal]) : signal });
  };
}

/** Settles as `work` does, or rejects with the signal's reason at once when it is aborted first. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    work.catch(() => {});
  }
}
