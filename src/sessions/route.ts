import { eq } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { IgnoreReason, ProviderAdapter, ProviderContext, Signal } from '../providers/provider.ts';
import type { Database, Transaction } from '../store/connection.ts';
import { enqueue, type Jobs } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import {
  deliveries,
  installations,
  type OutcomeKind,
  type ProviderName,
  type PublicationState,
  publications,
} from '../store/schema.ts';
import { ensureAnchor, findAnchor, type InstallationRow, type PublicationRow } from './anchors.ts';
import { addMessage } from './messages.ts';
import { requestStop } from './stop.ts';

export interface RouteDependencies {
  database: Database;
  adapters: Readonly<Record<ProviderName, ProviderAdapter>>;
  platformFetch(principal: { organizationId: string; installationId: string }): typeof fetch;
  logger: Logger;
}

/** How a delivery ended, as it is shown to admins. */
export interface Outcome {
  kind: OutcomeKind;
  reason?: IgnoreReason | string;
  sessionId?: string;
}

type Message = Extract<Signal, { kind: 'addressed' | 'ambient' }>;
type DeliveryRow = typeof deliveries.$inferSelect;

interface Routed {
  delivery: DeliveryRow;
  publication: PublicationRow;
  installation: InstallationRow;
}

/** What a lifecycle change at the provider makes of a publication. */
const lifecycleStates: Record<
  Extract<Signal, { kind: 'lifecycle' }>['change'],
  [PublicationState, string | null]
> = {
  uninstalled: ['needs_reauth', 'The app was uninstalled at the provider. Install it again to go on.'],
  suspended: ['suspended', 'The app was suspended at the provider.'],
  unsuspended: ['live', null],
  installed: ['live', null],
};

/**
 * The `route` job: settles one delivery. Signals → who may address → anchor → session → message and turn. Whatever is
 * ignored is ignored with a reason on the delivery. Run twice, it does its work once. It throws only what a later try
 * may mend (the provider does not answer); the delivery stays `pending` meanwhile.
 */
export function createRouteJob(dependencies: RouteDependencies): (job: Jobs['route']) => Promise<void> {
  const { database } = dependencies;

  return async ({ organizationId, deliveryId }) => {
    const loaded = await withOrganization(database, organizationId, (tx) => load(tx, deliveryId));
    if (!loaded) return;
    if ('outcome' in loaded) {
      await withOrganization(database, organizationId, (tx) => settle(tx, deliveryId, loaded.outcome));
      return;
    }
    const adapter = dependencies.adapters[loaded.delivery.provider];
    const signals = adapter.signals(
      {
        headers: loaded.delivery.headers,
        body: loaded.delivery.body ?? Buffer.alloc(0),
        receivedAt: loaded.delivery.receivedAt,
      },
      loaded.installation.identity,
    );
    const outcomes: Outcome[] = [];
    for (const signal of signals) outcomes.push(await follow(dependencies, adapter, loaded, signal));
    const outcome = outcomes.find((each) => each.kind === 'routed') ??
      outcomes[0] ?? { kind: 'ignored', reason: 'unsupported_event' };
    await withOrganization(database, organizationId, (tx) => settle(tx, deliveryId, outcome));
    dependencies.logger.info(
      { deliveryId, outcome: outcome.kind, reason: outcome.reason, sessionId: outcome.sessionId },
      'delivery settled',
    );
  };
}

async function load(tx: Transaction, deliveryId: string): Promise<Routed | { outcome: Outcome } | undefined> {
  const rows = await tx
    .select({ delivery: deliveries, publication: publications, installation: installations })
    .from(deliveries)
    .innerJoin(publications, eq(publications.id, deliveries.publicationId))
    .leftJoin(installations, eq(installations.publicationId, publications.id))
    .where(eq(deliveries.id, deliveryId));
  const row = rows[0];
  if (row?.delivery.outcome !== 'pending') return undefined;
  if (row.publication.state === 'unpublished') return { outcome: { kind: 'ignored', reason: 'not_live' } };
  if (!row.installation) return { outcome: { kind: 'ignored', reason: 'unknown_installation' } };
  return { ...row, installation: row.installation };
}

async function settle(tx: Transaction, deliveryId: string, outcome: Outcome): Promise<void> {
  await tx
    .update(deliveries)
    .set({
      outcome: outcome.kind,
      reason: outcome.reason ?? null,
      sessionId: outcome.sessionId ?? null,
      settledAt: new Date(),
    })
    .where(eq(deliveries.id, deliveryId));
}

async function follow(
  dependencies: RouteDependencies,
  adapter: ProviderAdapter,
  routed: Routed,
  signal: Signal,
): Promise<Outcome> {
  const { database } = dependencies;
  const { publication } = routed;
  const { organizationId } = publication;
  switch (signal.kind) {
    case 'ignored':
      return { kind: 'ignored', reason: signal.reason };
    case 'lifecycle': {
      const [state, stateReason] = lifecycleStates[signal.change];
      await withOrganization(database, organizationId, (tx) =>
        tx
          .update(publications)
          .set({ state, stateReason, updatedAt: new Date() })
          .where(eq(publications.id, publication.id)),
      );
      return { kind: 'routed' };
    }
    case 'stop':
      return withOrganization(database, organizationId, async (tx) => {
        const anchored = await findAnchor(tx, publication.id, signal.anchor.key);
        if (!anchored) return { kind: 'ignored', reason: 'not_addressed' };
        await requestStop(tx, organizationId, anchored.sessionId, signal.author);
        return { kind: 'routed', sessionId: anchored.sessionId };
      });
    case 'addressed':
    case 'ambient':
      return followMessage(dependencies, adapter, routed, signal);
  }
}

async function followMessage(
  dependencies: RouteDependencies,
  adapter: ProviderAdapter,
  routed: Routed,
  signal: Message,
): Promise<Outcome> {
  const { database } = dependencies;
  const { publication, installation, delivery } = routed;
  const { organizationId } = publication;
  // While a token is missing, messages wait: asking who wrote them fails until the publication is authorized again.
  if (publication.state !== 'live' && publication.state !== 'needs_reauth') {
    return { kind: 'ignored', reason: 'not_live' };
  }
  if (signal.body.trim() === '') return { kind: 'ignored', reason: 'empty_message' };
  if (signal.kind === 'ambient') {
    const anchored = await withOrganization(database, organizationId, (tx) =>
      findAnchor(tx, publication.id, signal.anchor.key),
    );
    if (!anchored) return { kind: 'ignored', reason: 'not_addressed' };
  }
  const context: ProviderContext = {
    fetch: dependencies.platformFetch({ organizationId, installationId: installation.id }),
    identity: installation.identity,
  };
  const judgement = await adapter.mayAddress(context, signal);
  if (!judgement.allowed) return { kind: 'ignored', reason: 'no_authority' };

  return withOrganization(database, organizationId, async (tx) => {
    const { anchorId, sessionId } = await ensureAnchor(tx, publication, installation, signal.anchor);
    const added = await addMessage(tx, {
      organizationId,
      sessionId,
      anchorId,
      publicationId: publication.id,
      externalKey: signal.externalKey,
      author: signal.author,
      authority: true,
      body: signal.body,
      place: signal.place,
      deliveryId: delivery.id,
    });
    if (!added) return { kind: 'ignored', reason: 'duplicate_message', sessionId };
    const { messageId } = added;
    await enqueue(
      tx,
      'presence',
      { organizationId, anchorId, messageId, phase: 'working' },
      { maxAttempts: 4 },
    );
    await settle(tx, delivery.id, { kind: 'routed', sessionId });
    return { kind: 'routed', sessionId };
  });
}
