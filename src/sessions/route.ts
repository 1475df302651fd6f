import { and, eq, gt, isNotNull } from 'drizzle-orm';
import { resumeSending } from '../outbound/sweep.ts';
import { type ProviderAdapter, ProviderError, type Signal } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { enqueue, type Jobs } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import { changePublicationState } from '../store/publication-changes.ts';
import type { PublicationEvent } from '../store/publication-states.ts';
import { credentials, deliveries, installations, publications } from '../store/schema.ts';
import { letWait, mustWait, waitsAt } from '../store/waiting-deliveries.ts';
import { findAnchor, type PublicationRow } from './anchors.ts';
import { followDecision } from './route-decision.ts';
import { followMessage } from './route-message.ts';
import type { DecisionSignal, MessageSignal, Outcome, RouteDependencies, Routed } from './routing.ts';
import { requestStop } from './stop.ts';

type Change = Exclude<Extract<Signal, { kind: 'lifecycle' }>['change'], 'installed'>;

/** What a lifecycle change at the provider is to a publication, and what an admin reads of it. */
const lifecycleEvents: Record<Change, [PublicationEvent, string | null]> = {
  uninstalled: [
    'revoked',
    'The app was uninstalled at the provider. Install it again to go on; messages wait meanwhile.',
  ],
  suspended: ['suspended', 'The app was suspended at the provider.'],
  unsuspended: ['unsuspended', null],
};

/**
 * The `route` job: settles one delivery. Signals → who may address → anchor → session → message and turn. Whatever is
 * ignored is ignored with a reason on the delivery. Run twice, it does its work once. What people say while the
 * publication is not live waits, and the `resume` job routes it. It throws only what a later try may mend (the provider
 * does not answer); the delivery stays `pending` meanwhile.
 */
export function createRouteJob(dependencies: RouteDependencies): (job: Jobs['route']) => Promise<void> {
  const { database } = dependencies;

  return async function route(job): Promise<void> {
    const { organizationId, deliveryId, isNext = false } = job;
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
    const [said] = signals.filter(isSaid);
    if (said && mustWait(loaded.publication, isNext)) {
      const waits = await withOrganization(database, organizationId, async (tx) =>
        (await isForUs(tx, loaded.publication, said))
          ? letWait(tx, loaded.delivery, said.anchor.key, isNext)
          : 'ignored',
      );
      if (waits === true) return;
      // It has become live, or was ended, since it was read.
      if (waits === false) return route(job);
    }
    const outcomes: Outcome[] = [];
    for (const signal of signals) outcomes.push(await attempt(dependencies, adapter, loaded, signal));
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
  if (!row.installation) {
    await askWhereInstalled(tx, row.publication);
    return { outcome: { kind: 'ignored', reason: 'unknown_installation' } };
  }
  return { ...row, installation: row.installation };
}

async function askWhereInstalled(tx: Transaction, { id, organizationId }: PublicationRow): Promise<void> {
  const job = { organizationId, publicationId: id };
  await enqueue(tx, 'confirm', job, { key: `confirm:${id}`, maxAttempts: 5 });
}

async function isInstalledSince(tx: Transaction, { id }: PublicationRow, at: Date): Promise<boolean> {
  const [newer] = await tx
    .select({ id: credentials.id })
    .from(credentials)
    .where(
      and(
        eq(credentials.publicationId, id),
        isNotNull(credentials.installationId),
        gt(credentials.createdAt, at),
      ),
    )
    .limit(1);
  return newer !== undefined;
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

/** What people say to the agent, and what the provider is asked about before it counts. */
const isSaid = (signal: Signal): signal is MessageSignal | DecisionSignal =>
  signal.kind === 'addressed' || signal.kind === 'ambient' || signal.kind === 'decision';

/** Words that address nobody are for us where a session listens, or will once what waits there is routed. */
async function isForUs(
  tx: Transaction,
  { id }: PublicationRow,
  { kind, anchor }: MessageSignal | DecisionSignal,
): Promise<boolean> {
  if (kind !== 'ambient' || (await findAnchor(tx, id, anchor.key))) return true;
  return waitsAt(tx, id, anchor.key);
}

/** Follows a signal. Where the provider does not accept our credential, it is asked whether we are still installed. */
async function attempt(...given: Parameters<typeof follow>): Promise<Outcome> {
  try {
    return await follow(...given);
  } catch (error) {
    const [{ database }, , { publication }] = given;
    if (error instanceof ProviderError && error.code === 'unauthorized') {
      await withOrganization(database, publication.organizationId, (tx) =>
        askWhereInstalled(tx, publication),
      );
    }
    throw error;
  }
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
      return {
        kind: 'ignored',
        reason: signal.detail ? `${signal.reason}: ${signal.detail}` : signal.reason,
      };
    case 'lifecycle': {
      const { change } = signal;
      await withOrganization(database, organizationId, async (tx) => {
        // A word of an installation is not believed without asking: the provider's API says where it is.
        if (change === 'installed') return askWhereInstalled(tx, publication);
        // It came late: since then somebody has installed the app anew.
        if (signal.at && (await isInstalledSince(tx, publication, new Date(signal.at)))) {
          return askWhereInstalled(tx, publication);
        }
        const [event, stateReason] = lifecycleEvents[change];
        const now = dependencies.clock();
        const changed = await changePublicationState(tx, publication.id, event, stateReason, now);
        if (changed?.state === 'live') await resumeSending(tx, publication.id);
        // Taken for revoked meanwhile: what the provider's API says now decides.
        if (change === 'unsuspended' && !changed) await askWhereInstalled(tx, publication);
      });
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
    case 'decision':
      return followDecision(dependencies, adapter, routed, signal);
  }
}
