import type { Logger } from 'pino';
import {
  type ProviderAdapter,
  type ProviderContext,
  ProviderError,
  type Signal,
} from '../providers/provider.ts';
import type { Database } from '../store/connection.ts';
import type { deliveries, OutcomeKind, ProviderName } from '../store/schema.ts';
import type { InstallationRow, PublicationRow } from './anchors.ts';

export interface RouteDependencies {
  database: Database;
  adapters: Readonly<Record<ProviderName, ProviderAdapter>>;
  platformFetch(principal: { organizationId: string; installationId: string }): typeof fetch;
  clock: () => Date;
  logger: Logger;
}

/** How a delivery ended, as it is shown to admins. */
export interface Outcome {
  kind: OutcomeKind;
  /** An IgnoreReason, or `let_in`, with a detail after a colon where there is one. */
  reason?: string;
  sessionId?: string;
}

export type MessageSignal = Extract<Signal, { kind: 'addressed' | 'ambient' }>;
export type DecisionSignal = Extract<Signal, { kind: 'decision' }>;

/** A delivery with whom it is for. */
export interface Routed {
  delivery: typeof deliveries.$inferSelect;
  publication: PublicationRow;
  installation: InstallationRow;
}

/** What an adapter's questions to the provider are asked with. */
export function contextOf(
  dependencies: RouteDependencies,
  { publication, installation }: Routed,
): ProviderContext {
  const { organizationId } = publication;
  return {
    fetch: dependencies.platformFetch({ organizationId, installationId: installation.id }),
    identity: installation.identity,
  };
}

/** Tells one person something quietly, where the provider has a way. A courtesy: what fails is logged. */
export async function whisper(
  dependencies: RouteDependencies,
  adapter: ProviderAdapter,
  routed: Routed,
  signal: MessageSignal | DecisionSignal,
  text: string,
): Promise<void> {
  if (signal.author.kind !== 'person') return;
  try {
    await adapter.whisper?.(contextOf(dependencies, routed), signal.anchor.place, signal.author.id, text);
  } catch (error) {
    const code = error instanceof ProviderError ? error.code : 'unexpected';
    dependencies.logger.warn({ deliveryId: routed.delivery.id, code }, 'a quiet word could not be said');
  }
}
