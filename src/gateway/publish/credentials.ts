import { and, eq, inArray, isNull, ne } from 'drizzle-orm';
import { ZodError } from 'zod';
import type { AppCredentials, NewCredential } from '../../providers/publish-flow.ts';
import type { Transaction } from '../../store/connection.ts';
import { credentialNames } from '../../store/credential-kinds.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { nextPublicationState } from '../../store/publication-states.ts';
import { credentials, organizations, publications, webhookSecrets } from '../../store/schema.ts';
import { credentialBinding } from '../../vault/seal.ts';
import { ApiError, describeIssues, notFound } from '../errors.ts';
import { webhookSecretBinding } from '../secrets.ts';
import type { PublicationRow, PublishingDeps } from './deps.ts';

/** How long a replaced webhook secret is still honoured: what was signed with it is on its way. */
const graceMs = 24 * 3_600_000;

/** The organization's public key. Throws `unavailable_error` where no worker has run yet. */
export async function sealingKey(tx: Transaction) {
  const [organization] = await tx.select().from(organizations);
  if (organization?.sealingPublicKey) return organization.sealingPublicKey;
  throw new ApiError(
    'unavailable_error',
    'This organization has no sealing key yet: a worker has to have run once. Start one and try again.',
  );
}

/** Runs a check of what somebody typed; what is wrong with it is an `invalid_request_error`. */
export function checked<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ZodError)) throw error;
    throw new ApiError('invalid_request_error', describeIssues(error, 'credentials'));
  }
}

/** The publication, locked. Throws where there is none, or where it is over. */
export async function lockPublication(tx: Transaction, publicationId: string): Promise<PublicationRow> {
  const [row] = await tx.select().from(publications).where(eq(publications.id, publicationId)).for('update');
  if (!row) throw notFound('publication', publicationId);
  if (row.state === 'unpublished') {
    throw new ApiError(
      'conflict_error',
      `Publication ${publicationId} is unpublished. Publish the agent anew.`,
    );
  }
  return row;
}

/** Seals a credential and stores it, not yet belonging to an installation. Answers its id. */
export async function addCredential(
  deps: PublishingDeps,
  tx: Transaction,
  publication: PublicationRow,
  credential: NewCredential,
): Promise<string> {
  const { organizationId, id: publicationId } = publication;
  const id = newId('cred');
  const sealed = await deps.secrets.sealCredential(
    await sealingKey(tx),
    credentialBinding(organizationId, id),
    credential.secret,
  );
  await tx.insert(credentials).values({
    id,
    organizationId,
    publicationId,
    kind: credential.kind,
    displayName: credentialNames[credential.kind] ?? credential.kind,
    sealed,
    detail: credential.detail,
  });
  return id;
}

/** A webhook secret that took the place of others. */
export interface ReplacedSecret {
  id: string;
  /** Those that were in force before. */
  before: string[];
}

/**
 * Stores a webhook secret; those before it are honoured for a day more. The same one again changes nothing, and answers
 * undefined.
 */
export async function addWebhookSecret(
  deps: PublishingDeps,
  tx: Transaction,
  { organizationId, id: publicationId }: PublicationRow,
  secret: string,
): Promise<ReplacedSecret | undefined> {
  const known = await tx
    .select()
    .from(webhookSecrets)
    .where(and(eq(webhookSecrets.publicationId, publicationId), isNull(webhookSecrets.expiresAt)));
  for (const row of known) {
    const binding = webhookSecretBinding(organizationId, row.id);
    if ((await deps.secrets.openWebhookSecret(binding, row.sealed).catch(() => undefined)) === secret)
      return undefined;
  }
  const now = deps.clock();
  const id = newId('secret');
  const sealed = await deps.secrets.sealWebhookSecret(webhookSecretBinding(organizationId, id), secret);
  await tx
    .update(webhookSecrets)
    .set({ expiresAt: new Date(now.getTime() + graceMs) })
    .where(and(eq(webhookSecrets.publicationId, publicationId), isNull(webhookSecrets.expiresAt)));
  await tx.insert(webhookSecrets).values({ id, organizationId, publicationId, sealed, createdAt: now });
  return { id, before: known.map((row) => row.id) };
}

/** Takes a webhook secret back: those before it are in force again. */
export async function takeBackWebhookSecret(tx: Transaction, { id, before }: ReplacedSecret): Promise<void> {
  await tx.delete(webhookSecrets).where(eq(webhookSecrets.id, id));
  if (before.length === 0) return;
  await tx.update(webhookSecrets).set({ expiresAt: null }).where(inArray(webhookSecrets.id, before));
}

/** Stores the credentials of the app itself, in the place of those before. Run twice, the second is kept. */
export async function storeApp(
  deps: PublishingDeps,
  publication: Pick<PublicationRow, 'organizationId' | 'id'>,
  app: AppCredentials,
): Promise<void> {
  await withOrganization(deps.database, publication.organizationId, async (tx) => {
    const row = await lockPublication(tx, publication.id);
    const other = row.setup.clientId !== undefined && row.setup.clientId !== app.setup.clientId;
    if (
      other &&
      row.state !== 'pending_setup' &&
      row.state !== 'credentials_filled' &&
      row.state !== 'awaiting_install'
    ) {
      throw new ApiError(
        'conflict_error',
        `This publication belongs to the app ${row.setup.clientId}. Unpublish it, and publish the agent anew for another app.`,
      );
    }
    const id = await addCredential(deps, tx, row, app.credential);
    await tx
      .delete(credentials)
      .where(
        and(
          eq(credentials.publicationId, row.id),
          inArray(credentials.kind, [app.credential.kind]),
          ne(credentials.id, id),
        ),
      );
    if (app.webhookSecret !== undefined) await addWebhookSecret(deps, tx, row, app.webhookSecret);
    await tx
      .update(publications)
      .set({
        state: nextPublicationState(row.state, 'credentials_filled'),
        stateReason: null,
        setup: { ...row.setup, ...app.setup },
        updatedAt: deps.clock(),
      })
      .where(eq(publications.id, row.id));
  });
}

/** Replaces the secret that webhooks are signed with; the old one is honoured for 24 hours. */
export async function replaceWebhookSecret(
  deps: PublishingDeps,
  organizationId: string,
  publicationId: string,
  secret: string,
): Promise<void> {
  await withOrganization(deps.database, organizationId, async (tx) => {
    await addWebhookSecret(deps, tx, await lockPublication(tx, publicationId), secret);
  });
}
