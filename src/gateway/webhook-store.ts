import type { Pool } from 'pg';
import { type IncomingDelivery, type StoreResult, storeDeliveries } from '../store/inbox.ts';
import type { ProviderName } from '../store/schema.ts';
import { Batcher } from './batcher.ts';

/** `gone`: its publication was deleted meanwhile. `unstorable`: the database cannot hold what it contains. */
export type DeliveryResult = StoreResult | 'gone' | 'unstorable';

/**
 * How long storing may take, so that the answer comes before the provider gives up: Slack waits 3 s, Linear 5 s, GitHub
 * 10 s, and GitHub alone never tries again. Reading the secrets comes before it and takes up to a second.
 */
const storeTimeoutMs: Readonly<Record<ProviderName, number>> = { slack: 1_500, linear: 3_000, github: 7_000 };

export type DeliveryStore = Batcher<IncomingDelivery, DeliveryResult>;

/**
 * One shared insert for the deliveries of a provider that arrive at the same time. Rejects when the database is away.
 * A batch that hangs, at a lock or a slow disk, stops no other.
 */
export function createDeliveryStore(pool: Pool, clock: () => Date, provider: ProviderName): DeliveryStore {
  return new Batcher<IncomingDelivery, DeliveryResult>(
    (deliveries, signal) => storeBatch(pool, deliveries, clock, signal),
    {
      lanes: 3,
      slowAfterMs: 25,
      maxItems: 256,
      maxBytes: 32 * 1024 * 1024,
      timeoutMs: storeTimeoutMs[provider],
      sizeOf: (delivery) => delivery.body.length,
    },
  );
}

async function storeBatch(
  pool: Pool,
  deliveries: IncomingDelivery[],
  clock: () => Date,
  signal: AbortSignal,
): Promise<DeliveryResult[]> {
  try {
    return await storeOnce(pool, deliveries, clock(), signal);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (typeof code !== 'string' || signal.aborted) throw error;
    // Deadlock and serialisation failure: nothing was stored, and the other one has finished.
    if (code === '40P01' || code === '40001') return storeOnce(pool, deliveries, clock(), signal);
    if (!/^2[23]/.test(code)) throw error;
    if (deliveries.length === 1) return [code === '23503' ? 'gone' : 'unstorable'];
    // One bad delivery must not fail those that share its batch.
    const results: DeliveryResult[] = [];
    for (const delivery of deliveries) {
      results.push(...(await storeBatch(pool, [delivery], clock, signal)));
    }
    return results;
  }
}

async function storeOnce(
  pool: Pool,
  deliveries: IncomingDelivery[],
  now: Date,
  signal: AbortSignal,
): Promise<StoreResult[]> {
  const client = await pool.connect();
  let released = false;
  const release = (broken: boolean) => {
    if (released) return;
    released = true;
    client.release(broken);
  };
  const onAbort = () => release(true);
  if (signal.aborted) {
    release(false);
    throw signal.reason;
  }
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const results = await storeDeliveries(client, deliveries, now);
    release(false);
    return results;
  } catch (error) {
    release(true);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
