/** Time as the workplace sees it, so that tests can move it: a minute's retry must not take a minute. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Runs `task` once after `delayMs`; the returned function takes it back. */
  schedule(delayMs: number, task: () => void): () => void;
}

/** The machine's own clock. Its timers do not keep a process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  schedule(delayMs, task) {
    // setTimeout takes at most 2^31-1 ms; the longest wait here is Linear's 6 h.
    const timer = setTimeout(task, Math.max(0, delayMs));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
