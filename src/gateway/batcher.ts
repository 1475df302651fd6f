/** Bounds of one batch and of the wait for it. */
export interface BatcherOptions<Item> {
  /** How many batches may be on their way at once, when they are slow. */
  lanes: number;
  /** A batch that takes longer does not keep the next one waiting. */
  slowAfterMs: number;
  maxItems: number;
  maxBytes: number;
  /** From the moment an item is given until it is refused, at the latest. */
  timeoutMs: number;
  sizeOf(item: Item): number;
}

/** What was given could not be taken in time. Nothing is known of whether it arrived. */
export class BatchTimeout extends Error {
  override name = 'BatchTimeout';
}

interface Waiting<Item, Result> {
  item: Item;
  since: number;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/**
 * Lets concurrent callers share one call: while `run` works on a batch, what is given meanwhile queues, and is the next
 * batch. No timer delays anything: alone, an item runs at once; under load, batches grow by themselves. One batch at a
 * time is the cheapest, since each has its fixed costs; only behind a slow one the next is started beside it.
 *
 * `run` answers one result per item. When it fails, everyone in the batch gets its error, and so do those who have
 * queued behind it for longer than half of `timeoutMs`: what they wait for is likely to fail them too, and too late.
 */
export class Batcher<Item, Result> {
  readonly #run: (items: Item[], signal: AbortSignal) => Promise<Result[]>;
  readonly #options: BatcherOptions<Item>;
  #queue: Waiting<Item, Result>[] = [];
  #running = 0;
  #slow = 0;
  #scheduled = false;

  constructor(run: (items: Item[], signal: AbortSignal) => Promise<Result[]>, options: BatcherOptions<Item>) {
    this.#run = run;
    this.#options = options;
  }

  /** Resolves with the item's result once its batch is done; rejects with the batch's error or `BatchTimeout`. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, since: performance.now(), resolve, reject });
      if (this.#scheduled || !this.#isFree()) return;
      this.#scheduled = true;
      // After this turn of the event loop, so that what arrived in it shares the batch.
      setImmediate(() => {
        this.#scheduled = false;
        this.#start();
      });
    });
  }

  #isFree(): boolean {
    return this.#running === this.#slow && this.#running < this.#options.lanes;
  }

  #start(): void {
    if (!this.#isFree() || this.#queue.length === 0) return;
    this.#running++;
    let isSlow = false;
    const timer = setTimeout(() => {
      isSlow = true;
      this.#slow++;
      this.#start();
    }, this.#options.slowAfterMs);
    void this.#settle(this.#take()).finally(() => {
      clearTimeout(timer);
      this.#running--;
      if (isSlow) this.#slow--;
      this.#start();
    });
  }

  #take(): Waiting<Item, Result>[] {
    const { maxItems, maxBytes, sizeOf } = this.#options;
    let bytes = 0;
    let count = 0;
    for (const { item } of this.#queue) {
      bytes += sizeOf(item);
      if (count === maxItems || (count > 0 && bytes > maxBytes)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #settle(batch: Waiting<Item, Result>[]): Promise<void> {
    const oldest = batch[0]?.since ?? performance.now();
    const abort = new AbortController();
    const left = Math.max(1, this.#options.timeoutMs - (performance.now() - oldest));
    const timer = setTimeout(
      () => abort.abort(new BatchTimeout(`not done within ${this.#options.timeoutMs} ms`)),
      left,
    );
    try {
      const items = batch.map(({ item }) => item);
      const results = await Promise.race([this.#run(items, abort.signal), aborted(abort.signal)]);
      batch.forEach(({ resolve }, index) => {
        resolve(results[index] as Result);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
      this.#rejectLate(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #rejectLate(error: unknown): void {
    const limit = performance.now() - this.#options.timeoutMs / 2;
    const late = this.#queue.filter(({ since }) => since < limit);
    this.#queue = this.#queue.filter(({ since }) => since >= limit);
    for (const { reject } of late) reject(error);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
