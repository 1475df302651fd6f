/** "… is thinking" below a thread (`assistant.threads.setStatus`), which the emulator lacks. */
export interface ThreadStatus {
  status: string;
  setAtMs: number;
}

/** Slack drops a status that nobody renews after two minutes. */
const statusLifeMs = 120_000;

export class ThreadStatuses {
  readonly #byThread: Map<string, ThreadStatus>;

  constructor(saved: Record<string, ThreadStatus> = {}) {
    this.#byThread = new Map(Object.entries(saved));
  }

  /** Sets a thread's status; an empty one clears it. */
  set(channelId: string, threadTs: string, status: string, nowMs: number): void {
    if (status === '') this.#byThread.delete(`${channelId}:${threadTs}`);
    else this.#byThread.set(`${channelId}:${threadTs}`, { status, setAtMs: nowMs });
  }

  /** The status that is shown now. */
  get(channelId: string, threadTs: string, nowMs: number): string | undefined {
    const found = this.#byThread.get(`${channelId}:${threadTs}`);
    return found && nowMs - found.setAtMs < statusLifeMs ? found.status : undefined;
  }

  state(): Record<string, ThreadStatus> {
    return Object.fromEntries(this.#byThread);
  }
}
