import type { publications } from '../../store/schema.ts';
import type { GatewayDeps } from '../deps.ts';

export type PublicationRow = typeof publications.$inferSelect;

/** What publishing needs of the gateway. */
export type PublishingDeps = Pick<
  GatewayDeps,
  'database' | 'adapters' | 'secrets' | 'platformFetch' | 'clock' | 'logger'
>;

/** The same with the addresses by which people and providers reach the pages of the flow. */
export type FlowDeps = PublishingDeps & Pick<GatewayDeps, 'config'>;
