import { and, desc, eq, inArray, isNull, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import type { Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { credentials, organizations } from '../../store/schema.ts';
import { credentialBinding } from '../../vault/seal.ts';
import { type VaultCredentialDetail, vaultCredentialKinds } from '../../vault/vault-credential.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, toPage } from '../listing.ts';
import { mergeMetadata, metadata, metadataChanges } from './agents.ts';
import { authInput, splitAuth } from './credential-input.ts';
import { refuseTie } from './credential-ties.ts';
import { refusePassthroughOfCredential } from './passthrough-ties.ts';
import { displayName, findVault, listQuery } from './vaults.ts';

type CredentialRow = typeof credentials.$inferSelect;

const credentialInput = z.strictObject({
  auth: authInput,
  display_name: displayName.nullish(),
  metadata: metadata.default({}),
});
const credentialChanges = z.strictObject({
  auth: authInput.optional(),
  display_name: displayName.optional(),
  metadata: metadataChanges,
});

/** Everything but the secrets, which nobody reads again. */
function showCredential(row: CredentialRow) {
  const detail = detailOf(row);
  return {
    id: row.id,
    type: 'vault_credential',
    vault_id: row.vaultId,
    display_name: row.displayName,
    auth: {
      ...detail.auth,
      ...(detail.oauth
        ? {
            expires_at: detail.oauth.expiresAt ?? null,
            granted_scope: detail.oauth.grantedScope ?? null,
            needs_reauth: detail.oauth.needsReauth ?? null,
            refused: detail.oauth.refused ?? null,
          }
        : {}),
    },
    metadata: detail.metadata,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
    last_used_at: row.lastUsedAt,
    archived_at: row.archivedAt,
  };
}

const detailOf = (row: CredentialRow) => row.detail as unknown as VaultCredentialDetail;
const stored = (detail: VaultCredentialDetail) => detail as unknown as Record<string, unknown>;

async function findCredential(
  tx: Transaction,
  vaultId: string,
  id: string,
  forChange = false,
): Promise<CredentialRow> {
  const query = tx
    .select()
    .from(credentials)
    .where(
      and(
        eq(credentials.id, id),
        eq(credentials.vaultId, vaultId),
        inArray(credentials.kind, [...vaultCredentialKinds]),
      ),
    );
  const [row] = await (forChange ? query.for('update') : query);
  if (!row) throw notFound('credential', id);
  return row;
}

/** The credentials of `/v1/vaults`, as in the Managed Agents API. Secrets go in and never come out. */
export function credentialRoutes(app: Hono<GatewayEnv>, { database, secrets, clock }: GatewayDeps): void {
  const within = <T>(organizationId: string, run: (tx: Transaction) => Promise<T>) =>
    withOrganization(database, organizationId, run);

  async function seal(organizationId: string, id: string, payload: Record<string, string>): Promise<string> {
    const [row] = await database
      .select({ key: organizations.sealingPublicKey })
      .from(organizations)
      .where(eq(organizations.id, organizationId));
    if (!row?.key) {
      throw new ApiError(
        'unavailable_error',
        'The key for credentials is not there yet. Try again in a moment.',
      );
    }
    return secrets.sealCredential(row.key, credentialBinding(organizationId, id), payload);
  }

  const path = '/v1/vaults/:id/credentials';

  app.post(path, async (c) => {
    const input = await readJson(c, credentialInput);
    const { organizationId } = c.var.caller;
    const vaultId = c.req.param('id');
    const id = newId('cred');
    const split = splitAuth(input.auth);
    const sealed = await seal(organizationId, id, split.secret);
    const row = await within(organizationId, async (tx) => {
      await findVault(tx, vaultId, true);
      await refuseTie(tx, vaultId, id, split.detail);
      const displayName = input.display_name ?? split.kind;
      await refusePassthroughOfCredential(tx, { id, displayName, vaultId, claim: split.detail });
      await tx.insert(credentials).values({
        ...{ id, organizationId, vaultId, sealed, displayName, kind: split.kind },
        detail: stored({ ...split.detail, metadata: input.metadata }),
      });
      return findCredential(tx, vaultId, id);
    });
    return c.json(showCredential(row), 201);
  });

  app.get(path, async (c) => {
    const query = readQuery(c, listQuery);
    const after = decodeCursor(query.page);
    const vaultId = c.req.param('id');
    const rows = await within(c.var.caller.organizationId, async (tx) => {
      await findVault(tx, vaultId);
      return tx
        .select()
        .from(credentials)
        .where(
          and(
            eq(credentials.vaultId, vaultId),
            query.include_archived === 'true' ? undefined : isNull(credentials.archivedAt),
            after === undefined ? undefined : lt(credentials.id, after),
          ),
        )
        .orderBy(desc(credentials.id))
        .limit(query.limit + 1);
    });
    return c.json(toPage(rows, query.limit, (row) => row.id, showCredential));
  });

  app.get(`${path}/:credential`, async (c) => {
    const { id, credential } = c.req.param();
    const row = await within(c.var.caller.organizationId, (tx) => findCredential(tx, id, credential));
    return c.json(showCredential(row));
  });

  app.post(`${path}/:credential`, async (c) => {
    const input = await readJson(c, credentialChanges);
    const { id: vaultId, credential: id } = c.req.param();
    const { organizationId } = c.var.caller;
    const split = input.auth && splitAuth(input.auth);
    const sealed = split && (await seal(organizationId, id, split.secret));
    const row = await within(organizationId, async (tx) => {
      await findVault(tx, vaultId, true);
      // Locked: a refresh may write at the same time.
      const current = await findCredential(tx, vaultId, id, true);
      if (current.archivedAt) throw new ApiError('conflict_error', `Credential ${id} is archived.`);
      if (split && split.kind !== current.kind) {
        throw new ApiError(
          'invalid_request_error',
          `auth.type: a credential stays what it is, ${current.kind}.`,
        );
      }
      if (split) {
        await refuseTie(tx, vaultId, id, split.detail);
        const { displayName } = current;
        await refusePassthroughOfCredential(tx, { id, displayName, vaultId, claim: split.detail });
      }
      const detail = detailOf(current);
      // The sandboxes that run know the placeholder, so a new value keeps it.
      const kept =
        split?.detail.variable && detail.variable ? { placeholder: detail.variable.placeholder } : undefined;
      await tx
        .update(credentials)
        .set({
          displayName: input.display_name ?? current.displayName,
          detail: stored({
            ...detail,
            ...split?.detail,
            ...(split?.detail.variable && kept ? { variable: { ...split.detail.variable, ...kept } } : {}),
            metadata: mergeMetadata(detail.metadata, input.metadata),
          }),
          ...(sealed ? { sealed } : {}),
          version: current.version + 1,
          updatedAt: clock(),
        })
        .where(eq(credentials.id, id));
      return findCredential(tx, vaultId, id);
    });
    return c.json(showCredential(row));
  });

  app.post(`${path}/:credential/archive`, async (c) => {
    const { id: vaultId, credential: id } = c.req.param();
    const row = await within(c.var.caller.organizationId, async (tx) => {
      await findCredential(tx, vaultId, id);
      await tx
        .update(credentials)
        // What is not used any more is not kept either.
        .set({ archivedAt: clock(), sealed: '' })
        .where(and(eq(credentials.id, id), isNull(credentials.archivedAt)));
      return findCredential(tx, vaultId, id);
    });
    return c.json(showCredential(row));
  });

  app.delete(`${path}/:credential`, async (c) => {
    const { id: vaultId, credential: id } = c.req.param();
    await within(c.var.caller.organizationId, async (tx) => {
      await findCredential(tx, vaultId, id);
      await tx.delete(credentials).where(eq(credentials.id, id));
    });
    return c.json({ id, type: 'vault_credential_deleted' });
  });
}
