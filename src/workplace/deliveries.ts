import { randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';

/** Why an attempt did not count, in Slack's words. */
export type FailureReason = 'http_timeout' | 'connection_failed' | 'http_error';

/** A webhook on its way. `payload` is whatever the policy makes a request from. */
export interface PendingDelivery {
  id: string;
  event: string;
  payload: Record<string, unknown>;
  /** Attempts made so far, the running one included. */
  attempts: number;
  lastFailure?: FailureReason;
  dueAtMs: number;
}

/** One attempt, as a vendor's list of deliveries shows it. */
export interface DeliveryRecord {
  /** Number of the attempt over all; a redelivery has its own. */
  id: number;
  deliveryId: string;
  event: string;
  payload: Record<string, unknown>;
  attempt: number;
  deliveredAtMs: number;
  durationMs: number;
  /** 0 when no answer came. */
  statusCode: number;
  ok: boolean;
  failure?: FailureReason;
  redelivery: boolean;
}

/** How one vendor sends webhooks. */
export interface DeliveryPolicy {
  timeoutMs: number;
  /** How long to wait after the first, second … failed attempt; none left means given up. */
  retryDelaysMs: readonly number[];
  accepts(status: number): boolean;
  /** The receiver asks not to try again. */
  declines?(headers: Headers): boolean;
  /** Headers and body of one attempt; signed at `nowMs`. */
  request(delivery: PendingDelivery, nowMs: number): { headers: Record<string, string>; body: string };
}

export interface DeliveryState {
  pending: PendingDelivery[];
  records: DeliveryRecord[];
  nextId: number;
}

export interface WebhookSenderOptions {
  policy: DeliveryPolicy;
  clock: Clock;
  fetch: typeof fetch;
  /** Called after every change of the state. */
  changed(): void;
  state?: DeliveryState;
}

const keptRecords = 200;

/** Sends signed webhooks to one address and repeats them as the vendor does. */
export class WebhookSender {
  readonly #options: WebhookSenderOptions;
  readonly #state: DeliveryState;
  readonly #cancels = new Map<string, () => void>();
  readonly #aborts = new Set<AbortController>();
  #url: string | undefined;
  #closed = false;

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
    this.#state = options.state ?? { pending: [], records: [], nextId: 1 };
  }

  /** Where to send; until there is an address nothing is sent. What was pending from before goes on from here. */
  setUrl(url: string | undefined): void {
    const first = this.#url === undefined;
    this.#url = url;
    if (!first || url === undefined) return;
    const now = this.#options.clock.now();
    for (const delivery of this.#state.pending) this.#arm(delivery, Math.max(0, delivery.dueAtMs - now));
  }

  /** All that must survive a restart. */
  state(): DeliveryState {
    return this.#state;
  }

  /** Sends; resolves with the record of the first attempt, or undefined when no address is set. */
  async send(
    event: string,
    payload: Record<string, unknown>,
    id: string = randomUUID(),
  ): Promise<DeliveryRecord | undefined> {
    if (this.#url === undefined || this.#closed) return undefined;
    const delivery = { id, event, payload, attempts: 0, dueAtMs: this.#options.clock.now() };
    this.#state.pending.push(delivery);
    return await this.#attempt(delivery);
  }

  /** Sends what a record holds again, under the same delivery id, once. Undefined when the record is unknown. */
  async redeliver(recordId: number): Promise<DeliveryRecord | undefined> {
    const record = this.#state.records.find((candidate) => candidate.id === recordId);
    if (!record || this.#url === undefined || this.#closed) return undefined;
    const { deliveryId: id, event, payload } = record;
    const delivery = { id, event, payload, attempts: 1, dueAtMs: this.#options.clock.now() };
    return this.#record(delivery, await this.#post(delivery, this.#url), true);
  }

  /** Breaks off what is under way; it stays pending. */
  close(): void {
    this.#closed = true;
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
    for (const abort of this.#aborts) abort.abort();
  }

  #arm(delivery: PendingDelivery, delayMs: number): void {
    this.#cancels.set(
      delivery.id,
      this.#options.clock.schedule(delayMs, () => {
        this.#cancels.delete(delivery.id);
        void this.#attempt(delivery);
      }),
    );
  }

  async #attempt(delivery: PendingDelivery): Promise<DeliveryRecord | undefined> {
    if (this.#url === undefined || this.#closed) return undefined;
    delivery.attempts += 1;
    this.#options.changed();
    const outcome = await this.#post(delivery, this.#url);
    if (this.#closed) {
      // Nobody heard the end of it: after a restart this attempt is made again.
      delivery.attempts -= 1;
      return undefined;
    }
    const record = this.#record(delivery, outcome, false);
    const delayMs = this.#options.policy.retryDelaysMs[delivery.attempts - 1];
    if (record.ok || outcome.declined || delayMs === undefined) {
      this.#state.pending.splice(this.#state.pending.indexOf(delivery), 1);
    } else {
      delivery.lastFailure = outcome.failure ?? 'http_error';
      delivery.dueAtMs = this.#options.clock.now() + delayMs;
      this.#arm(delivery, delayMs);
    }
    this.#options.changed();
    return record;
  }

  async #post(delivery: PendingDelivery, url: string) {
    const { policy, clock } = this.#options;
    const abort = new AbortController();
    this.#aborts.add(abort);
    let timedOut = false;
    const stopTimer = clock.schedule(policy.timeoutMs, () => {
      timedOut = true;
      abort.abort();
    });
    const startedAtMs = clock.now();
    let statusCode = 0;
    let declined = false;
    try {
      const { headers, body } = policy.request(delivery, startedAtMs);
      const init = { method: 'POST', headers, body, signal: abort.signal, redirect: 'manual' } as const;
      const response = await this.#options.fetch(url, init);
      statusCode = response.status;
      declined = policy.declines?.(response.headers) ?? false;
      await response.body?.cancel();
    } catch {
      // Told by statusCode 0 and the reason below.
    } finally {
      stopTimer();
      this.#aborts.delete(abort);
    }
    const ok = statusCode !== 0 && policy.accepts(statusCode);
    const silence: FailureReason = timedOut ? 'http_timeout' : 'connection_failed';
    const failure: FailureReason | undefined = ok ? undefined : statusCode === 0 ? silence : 'http_error';
    return { startedAtMs, durationMs: clock.now() - startedAtMs, statusCode, ok, failure, declined };
  }

  #record(
    delivery: PendingDelivery,
    outcome: {
      startedAtMs: number;
      durationMs: number;
      statusCode: number;
      ok: boolean;
      failure?: FailureReason;
    },
    redelivery: boolean,
  ): DeliveryRecord {
    const record: DeliveryRecord = {
      id: this.#state.nextId++,
      deliveryId: delivery.id,
      event: delivery.event,
      payload: delivery.payload,
      attempt: delivery.attempts,
      deliveredAtMs: outcome.startedAtMs,
      durationMs: outcome.durationMs,
      statusCode: outcome.statusCode,
      ok: outcome.ok,
      ...(outcome.failure ? { failure: outcome.failure } : {}),
      redelivery,
    };
    this.#state.records.push(record);
    this.#state.records.splice(0, this.#state.records.length - keptRecords);
    this.#options.changed();
    return record;
  }
}
