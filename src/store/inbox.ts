import { hash } from 'node:crypto';
import pg, { type Pool, type PoolClient } from 'pg';
import { binaryArray } from './binary-array.ts';
import type { Database } from './connection.ts';
import { newId } from './ids.ts';
import type { ProviderName, PublicationState } from './schema.ts';

/**
 * A pool of the webhook door's own, so that nothing else can use up its connections. Its plans may not scan whole
 * tables: `graphile_worker.add_jobs` looks for locked jobs by key, and with the statistics of a quiet hour Postgres
 * would read the whole backlog for it, at every delivery. (And no JIT, which old versions start for such plans.) One
 * plan is kept for all batches, and what nobody waits for any more ends by itself.
 */
export function connectInbox(url: string, onError: (error: Error) => void = () => {}): Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: 8,
    application_name: 'tagalong inbox',
    options:
      '-c enable_seqscan=off -c jit=off -c plan_cache_mode=force_generic_plan -c statement_timeout=8000',
    connectionTimeoutMillis: 1_500,
    idleTimeoutMillis: 60_000,
  });
  pool.on('error', onError);
  return pool;
}

/** A verified delivery on its way into the inbox. */
export interface IncomingDelivery {
  organizationId: string;
  publicationId: string;
  provider: ProviderName;
  headers: Readonly<Record<string, string>>;
  body: Buffer;
  /** The provider's own id of it; undefined where there is none. */
  deliveryId: string | undefined;
}

/** `new`: stored, and its `route` job added. `duplicate`: known already, nothing was added. */
export type StoreResult = 'new' | 'duplicate';

/**
 * One statement, one transaction: the keys, then the deliveries of which both keys were new, then their jobs. The body
 * keys are taken before the id keys, and each kind in order, by every gateway: two that race for the same keys wait
 * for each other in one direction only, and the one that waited sees the conflict.
 */
const storeStatement = `
with incoming as (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[])
    with ordinality
    as t(id, organization_id, publication_id, provider, headers, body, body_key, id_key, n)
), new_bodies as (
  insert into delivery_keys (organization_id, publication_id, key, delivery_id, received_at)
  select organization_id, publication_id, body_key, id, $9::timestamptz from incoming
  order by publication_id, body_key, n
  on conflict do nothing
  returning delivery_id
), new_ids as (
  insert into delivery_keys (organization_id, publication_id, key, delivery_id, received_at)
  select organization_id, publication_id, id_key, id, $9::timestamptz
  from incoming join new_bodies on delivery_id = id
  where id_key is not null
  order by publication_id, id_key, n
  on conflict do nothing
  returning delivery_id
), stored as (
  insert into deliveries (id, organization_id, publication_id, provider, headers, body, received_at)
  select id, organization_id, publication_id, provider, headers::jsonb, body, $9::timestamptz
  from incoming join new_bodies on delivery_id = id
  where id_key is null or id in (select delivery_id from new_ids)
  returning id, organization_id
), specs as (
  select array_agg(row(
    'route', json_build_object('organizationId', organization_id, 'deliveryId', id),
    null, null, null, null, null, null
  )::graphile_worker.job_spec) as list from stored
), jobs as (
  select count(*) from specs, lateral graphile_worker.add_jobs(list) where list is not null
)
select id from stored, jobs`;

/**
 * Stores verified deliveries, each with its `route` job, and answers what became of each, in order. What it answers is
 * committed. All or nothing: it rejects with the database's error, and then nothing of the batch was stored, or (where
 * the connection broke at the commit) all of it, in which case the provider's retry is known as a duplicate.
 *
 * A duplicate is known by two keys, since the provider's delivery id is a header that nobody signed (GitHub, Linear):
 * - `body:` the SHA-256 of the body, which is signed. A captured body that comes again under another delivery id is
 *   known by it, and claims nothing: the id that it came with stays free for the delivery that it belongs to.
 * - `id:` the delivery id, claimed only by a delivery whose body was new. Linear puts a new timestamp into the body of
 *   every retry, so that only the id tells that it is one. The price: who holds a signed body that never reached us and
 *   foresees the id of a delivery to come (a UUID) can make that one delivery look like a duplicate, once per such body.
 *
 * Two requests of the provider with the very same bytes are one delivery: they would tell the same thing.
 */
export async function storeDeliveries(
  client: Pool | PoolClient,
  deliveries: readonly IncomingDelivery[],
  now: Date,
): Promise<StoreResult[]> {
  const ids = deliveries.map(() => newId('dlv', now.getTime()));
  const text = (value: (delivery: IncomingDelivery) => string | null) =>
    binaryArray('text', deliveries.map(value));
  const result = await client.query<{ id: string }>({
    name: 'store_deliveries',
    text: storeStatement,
    values: [
      binaryArray('text', ids),
      text((delivery) => delivery.organizationId),
      text((delivery) => delivery.publicationId),
      text((delivery) => delivery.provider),
      text((delivery) => JSON.stringify(delivery.headers)),
      binaryArray(
        'bytea',
        deliveries.map((delivery) => delivery.body),
      ),
      text((delivery) => bodyKey(delivery.body)),
      text((delivery) => (delivery.deliveryId === undefined ? null : idKey(delivery.deliveryId))),
      now.toISOString(),
    ],
  });
  const stored = new Set(result.rows.map((row) => row.id));
  return ids.map((id) => (stored.has(id) ? 'new' : 'duplicate'));
}

function bodyKey(body: Buffer): string {
  return `body:${hash('sha256', body, 'base64url')}`;
}

/** The id is a stranger's text: what is too long for an index, or unprintable, is known by its hash. */
function idKey(deliveryId: string): string {
  return /^[\x21-\x7e]{1,200}$/.test(deliveryId)
    ? `id:${deliveryId}`
    : `id:sha256:${hash('sha256', deliveryId, 'base64url')}`;
}

/** What the webhook door needs to know of one publication. */
export interface WebhookDoor {
  organizationId: string;
  provider: ProviderName;
  state: PublicationState;
  /** Sealed signing secrets that have not expired. */
  secrets: { id: string; sealed: string; expiresAt: Date | null }[];
}

/** Reads it by the publication's id alone: the request does not say for whom it is. Undefined when there is none. */
export async function readWebhookDoor(
  client: Pool,
  publicationId: string,
  now: Date,
): Promise<WebhookDoor | undefined> {
  const { rows } = await client.query<{
    organization_id: string;
    provider: ProviderName;
    state: PublicationState;
    id: string | null;
    sealed: string | null;
    expires_at: Date | null;
  }>({
    name: 'read_webhook_door',
    text: `select p.organization_id, p.provider, p.state, s.id, s.sealed, s.expires_at
      from publications p
      left join webhook_secrets s on s.publication_id = p.id and (s.expires_at is null or s.expires_at > $2)
      where p.id = $1 order by s.created_at desc`,
    values: [publicationId, now.toISOString()],
  });
  const [first] = rows;
  if (!first) return undefined;
  return {
    organizationId: first.organization_id,
    provider: first.provider,
    state: first.state,
    secrets: rows.flatMap((row) =>
      row.id === null || row.sealed === null
        ? []
        : [{ id: row.id, sealed: row.sealed, expiresAt: row.expires_at }],
    ),
  };
}

/**
 * Forgets the bodies of settled deliveries that came before `olderThan`; what became of them stays. At most `limit` in
 * one call, so that no statement holds a big table for long. Answers how many.
 */
export async function forgetBodies(database: Database, olderThan: Date, limit = 10_000): Promise<number> {
  const result = await database.$client.query(
    `update deliveries set body = null where id in (
       select id from deliveries
       where body is not null and outcome <> 'pending' and received_at < $1 limit $2)`,
    [olderThan.toISOString(), limit],
  );
  return result.rowCount ?? 0;
}

/** Forgets the keys of deliveries that came before `olderThan`: from then on a copy would be taken for new. */
export async function forgetDeliveryKeys(
  database: Database,
  olderThan: Date,
  limit = 10_000,
): Promise<number> {
  const result = await database.$client.query(
    `delete from delivery_keys where (publication_id, key) in (
       select publication_id, key from delivery_keys where received_at < $1 limit $2)`,
    [olderThan.toISOString(), limit],
  );
  return result.rowCount ?? 0;
}
