import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { ApprovalDependencies } from '../outbound/approvals/session-port.ts';
import type { ProviderAdapter } from '../providers/provider.ts';
import type { ProviderPages } from '../providers/publish-flow.ts';
import type { Database } from '../store/connection.ts';
import type { ProviderName } from '../store/schema.ts';
import type { PlatformPrincipal } from '../vault/egress/protocol.ts';
import type { GatewaySecrets } from './secrets.ts';
import type { WebhookLimits } from './webhooks.ts';

/** What the gateway needs of a provider. */
export type GatewayAdapter = Pick<
  ProviderAdapter,
  'webhook' | 'splitCredentials' | 'whoAmI' | 'publishFlow' | 'isInTeam'
>;

/** What callers of the REST API can tell a session; the sessions room does it. */
export interface SessionsPort {
  /** Makes a session of the agent (its newest version unless one is named) that no provider knows of. Answers its id. */
  create(input: {
    organizationId: string;
    agentId: string;
    agentVersion: number | undefined;
    title: string | undefined;
    metadata: Record<string, string>;
  }): Promise<string>;
  /** Appends a `user.message` and lets a turn start. Answers the event's id. */
  say(input: { organizationId: string; sessionId: string; text: string }): Promise<string>;
  /** Appends a `user.interrupt` and ends the running turn, if any. Answers the event's id. */
  interrupt(input: { organizationId: string; sessionId: string }): Promise<string>;
}

export interface GatewayConfig {
  /** As others reach us: `https://tagalong.example.com`, without a path. */
  baseUrl: string;
  /** Where people make and install apps: at the providers, and in the emulated workplace where one runs. */
  pages?: Partial<Record<'real' | 'emulated', Readonly<Record<ProviderName, ProviderPages>>>>;
}

export interface GatewayDeps {
  database: Database;
  /** For a connection of its own that listens for what sessions do. */
  databaseUrl: string;
  /** The webhook door's own connections: `connectInbox(url)`. */
  inbox: Pool;
  adapters: Readonly<Record<ProviderName, GatewayAdapter>>;
  /** A sentence for each reason for which a delivery is ignored. */
  ignoreReasons: Readonly<Record<string, string>>;
  secrets: GatewaySecrets;
  platformFetch(principal: PlatformPrincipal): typeof fetch;
  /** Without it sessions can be read but neither made nor spoken to by API. */
  sessions?: SessionsPort;
  /** Without it requests for approval can be read but not decided over by API. */
  approvals?: ApprovalDependencies;
  /** The emulated workplace, where one runs. */
  workplace?: { apiUrl: string; apiSecret: string };
  config: GatewayConfig;
  /** The built console; undefined or missing where it is not built. */
  consoleFolder: string | undefined;
  clock: () => Date;
  logger: Logger;
  webhookLimits?: Partial<WebhookLimits>;
}
