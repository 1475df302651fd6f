import type { Logger } from 'pino';
import type { ProviderAdapter } from '../providers/provider.ts';
import type { Database } from '../store/connection.ts';
import type { ProviderName } from '../store/schema.ts';
import type { SessionPort } from './approvals/session-port.ts';
import type { CheckOutbound } from './leak-check.ts';

/** What everything outbound needs to reach the providers. */
export interface OutboundDependencies {
  database: Database;
  adapters: Readonly<Record<ProviderName, ProviderAdapter>>;
  /** A fetch whose requests carry the installation's token. */
  platformFetch(principal: { organizationId: string; installationId: string }): typeof fetch;
  logger: Logger;
}

export interface SendLimits {
  /** How long an anchor stays with a sender that no longer renews; bounds how long a death goes unnoticed. */
  leaseMs: number;
  renewEveryMs: number;
  /** For one call at the provider, with all requests that it makes. */
  callMs: number;
  /** After this age a row that was tried fails. */
  maxAgeMs: number;
  /** Rows that one job sends before it gives way to other jobs. */
  maxRowsPerJob: number;
  /** Tries after which an error that no adapter should throw is final. */
  maxUnexpected: number;
}

export const sendLimits: SendLimits = {
  leaseMs: 6_000,
  renewEveryMs: 2_000,
  callMs: 30_000,
  maxAgeMs: 24 * 3_600_000,
  maxRowsPerJob: 20,
  maxUnexpected: 10,
};

export interface SendDependencies extends OutboundDependencies {
  /** Of this run of the process: a later run is another worker. */
  workerId: string;
  clock: () => Date;
  sessions: SessionPort;
  checkOutbound?: CheckOutbound;
  limits?: Partial<SendLimits>;
  /** From 0 to 1. */
  random?: () => number;
}
