import { and, eq, ne, sql } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { credentials, notificationUrls, organizations, webhookSecrets } from '../store/schema.ts';
import { sealedKeyId } from './seal.ts';

/** How far an organization's sealed values are. */
export interface KeyRotation {
  total: number;
  /** Sealed to another key than the one that is written with now, by id. */
  waiting: string[];
}

/** The key ids that are written with. */
export interface CurrentKeys {
  credentialKid: string;
  webhookKid: string;
}

/** Looks at the first part of every sealed value, which names its key. Rejects when the database is away. */
export async function readKeyRotation(
  database: Database,
  organizationId: string,
  current: CurrentKeys,
): Promise<KeyRotation> {
  const { sealed, urls, hooks } = await withOrganization(database, organizationId, async (tx) => ({
    sealed: await tx
      .select({ id: credentials.id, head: sql<string>`split_part(${credentials.sealed}, '.', 1)` })
      .from(credentials)
      .where(and(eq(credentials.organizationId, organizationId), ne(credentials.sealed, ''))),
    urls: await tx
      .select({ id: notificationUrls.id, head: sql<string>`split_part(${notificationUrls.sealed}, '.', 1)` })
      .from(notificationUrls)
      .where(eq(notificationUrls.organizationId, organizationId)),
    hooks: await tx
      .select({ id: webhookSecrets.id, head: sql<string>`split_part(${webhookSecrets.sealed}, '.', 1)` })
      .from(webhookSecrets)
      .where(eq(webhookSecrets.organizationId, organizationId)),
  }));
  const waiting = [
    ...[...sealed, ...urls].filter(({ head }) => sealedKeyId(head) !== current.credentialKid),
    ...hooks.filter(({ head }) => sealedKeyId(head) !== current.webhookKid),
  ];
  return { total: sealed.length + urls.length + hooks.length, waiting: waiting.map(({ id }) => id).sort() };
}

/** The id of an organization's stored public sealing key; undefined where there is none yet. */
export async function sealingKeyId(database: Database, organizationId: string): Promise<string | undefined> {
  const [row] = await withOrganization(database, organizationId, (tx) =>
    tx
      .select({ key: organizations.sealingPublicKey })
      .from(organizations)
      .where(eq(organizations.id, organizationId)),
  );
  return typeof row?.key?.kid === 'string' ? row.key.kid : undefined;
}
