import { and, desc, eq, isNull, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import type { Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { credentials, vaults } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';
import { mergeMetadata, metadata, metadataChanges } from './agents.ts';

type VaultRow = typeof vaults.$inferSelect;

export const displayName = z.string().min(1).max(255);
const vaultInput = z.strictObject({ display_name: displayName, metadata: metadata.default({}) });
const vaultChanges = z.strictObject({ display_name: displayName.optional(), metadata: metadataChanges });
export const listQuery = z.object({
  ...pageParameters(),
  include_archived: z.enum(['true', 'false']).default('false'),
});

function showVault(row: VaultRow) {
  return {
    id: row.id,
    type: 'vault',
    display_name: row.displayName,
    metadata: row.metadata,
    created_at: row.createdAt,
    archived_at: row.archivedAt,
  };
}

/** The vault, not archived when it is to be changed. Throws when there is none. */
export async function findVault(tx: Transaction, id: string, forChange = false): Promise<VaultRow> {
  const query = tx.select().from(vaults).where(eq(vaults.id, id));
  const [row] = await (forChange ? query.for('update') : query);
  if (!row) throw notFound('vault', id);
  if (forChange && row.archivedAt) throw new ApiError('conflict_error', `Vault ${id} is archived.`);
  return row;
}

/** Throws unless each of these is a vault of the organization that is not archived. */
export async function requireVaults(tx: Transaction, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const { archivedAt } = await findVault(tx, id);
    if (archivedAt) throw new ApiError('conflict_error', `Vault ${id} is archived.`);
  }
}

/** `/v1/vaults`, as in the Managed Agents API. */
export function vaultRoutes(app: Hono<GatewayEnv>, { database, clock }: GatewayDeps): void {
  const within = <T>(organizationId: string, run: (tx: Transaction) => Promise<T>) =>
    withOrganization(database, organizationId, run);

  app.post('/v1/vaults', async (c) => {
    const input = await readJson(c, vaultInput);
    const { organizationId } = c.var.caller;
    const id = newId('vlt');
    const row = await within(organizationId, async (tx) => {
      const values = { id, organizationId, displayName: input.display_name, metadata: input.metadata };
      await tx.insert(vaults).values(values);
      return findVault(tx, id);
    });
    return c.json(showVault(row), 201);
  });

  app.get('/v1/vaults', async (c) => {
    const query = readQuery(c, listQuery);
    const after = decodeCursor(query.page);
    const rows = await within(c.var.caller.organizationId, (tx) =>
      tx
        .select()
        .from(vaults)
        .where(
          and(
            query.include_archived === 'true' ? undefined : isNull(vaults.archivedAt),
            after === undefined ? undefined : lt(vaults.id, after),
          ),
        )
        .orderBy(desc(vaults.id))
        .limit(query.limit + 1),
    );
    return c.json(toPage(rows, query.limit, (row) => row.id, showVault));
  });

  app.get('/v1/vaults/:id', async (c) =>
    c.json(showVault(await within(c.var.caller.organizationId, (tx) => findVault(tx, c.req.param('id'))))),
  );

  app.post('/v1/vaults/:id', async (c) => {
    const input = await readJson(c, vaultChanges);
    const id = c.req.param('id');
    const row = await within(c.var.caller.organizationId, async (tx) => {
      const current = await findVault(tx, id, true);
      await tx
        .update(vaults)
        .set({
          displayName: input.display_name ?? current.displayName,
          metadata: mergeMetadata(current.metadata, input.metadata),
        })
        .where(eq(vaults.id, id));
      return findVault(tx, id);
    });
    return c.json(showVault(row));
  });

  app.post('/v1/vaults/:id/archive', async (c) => {
    const id = c.req.param('id');
    const row = await within(c.var.caller.organizationId, async (tx) => {
      await findVault(tx, id);
      await tx
        .update(vaults)
        .set({ archivedAt: clock() })
        .where(and(eq(vaults.id, id), isNull(vaults.archivedAt)));
      return findVault(tx, id);
    });
    return c.json(showVault(row));
  });

  app.delete('/v1/vaults/:id', async (c) => {
    const id = c.req.param('id');
    await within(c.var.caller.organizationId, async (tx) => {
      await findVault(tx, id);
      await tx.delete(credentials).where(eq(credentials.vaultId, id));
      await tx.delete(vaults).where(eq(vaults.id, id));
    });
    return c.json({ id, type: 'vault_deleted' });
  });
}
