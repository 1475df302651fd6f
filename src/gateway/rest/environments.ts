import { and, desc, eq, isNull, lt, sql } from 'drizzle-orm';
import type { Hono } from 'hono';
import type { Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { environments, publications, sessions } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, toPage } from '../listing.ts';
import { mergeMetadata } from './agents.ts';
import { checkConfig, environmentChanges, environmentInput } from './environment-input.ts';
import { listQuery } from './vaults.ts';

type EnvironmentRow = typeof environments.$inferSelect;

function showEnvironment(row: EnvironmentRow) {
  return {
    id: row.id,
    type: 'environment',
    name: row.name,
    description: row.description,
    config: row.config,
    metadata: row.metadata,
    scope: 'organization',
    created_at: row.createdAt,
    updated_at: row.updatedAt,
    archived_at: row.archivedAt,
  };
}

async function findEnvironment(tx: Transaction, id: string, forChange = false): Promise<EnvironmentRow> {
  const query = tx.select().from(environments).where(eq(environments.id, id));
  const [row] = await (forChange ? query.for('update') : query);
  if (!row) throw notFound('environment', id);
  return row;
}

/** Throws unless this is an environment of the organization that is not archived. Null and undefined are none. */
export async function requireEnvironment(tx: Transaction, id: string | null | undefined): Promise<void> {
  if (id === null || id === undefined) return;
  const { archivedAt } = await findEnvironment(tx, id);
  if (archivedAt) throw new ApiError('conflict_error', `Environment ${id} is archived.`);
}

/** What is in use would lose its rules without a word, so it is kept: archived, it takes nothing new. */
async function refuseUsed(tx: Transaction, id: string): Promise<void> {
  const [session] = await tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(eq(sessions.environmentId, id))
    .limit(1);
  const [publication] = await tx
    .select({ id: publications.id })
    .from(publications)
    .where(sql`${publications.policy}->>'environment_id' = ${id}`)
    .limit(1);
  const user = session ? `session ${session.id}` : publication && `publication ${publication.id}`;
  if (user) {
    throw new ApiError(
      'conflict_error',
      `Environment ${id} is used by ${user}. Archive it instead, or give that another one.`,
    );
  }
}

/** `/v1/environments`, as in the Managed Agents API. A change reaches running sessions within a second. */
export function environmentRoutes(app: Hono<GatewayEnv>, { database, clock }: GatewayDeps): void {
  const within = <T>(organizationId: string, run: (tx: Transaction) => Promise<T>) =>
    withOrganization(database, organizationId, run);

  app.post('/v1/environments', async (c) => {
    const { scope: _, ...input } = await readJson(c, environmentInput);
    const { organizationId } = c.var.caller;
    const id = newId('env');
    const values = { ...input, config: checkConfig(input.config), id, organizationId };
    const row = await within(organizationId, async (tx) => {
      await tx.insert(environments).values(values);
      return findEnvironment(tx, id);
    });
    return c.json(showEnvironment(row), 201);
  });

  app.get('/v1/environments', async (c) => {
    const query = readQuery(c, listQuery);
    const after = decodeCursor(query.page);
    const rows = await within(c.var.caller.organizationId, (tx) =>
      tx
        .select()
        .from(environments)
        .where(
          and(
            query.include_archived === 'true' ? undefined : isNull(environments.archivedAt),
            after === undefined ? undefined : lt(environments.id, after),
          ),
        )
        .orderBy(desc(environments.id))
        .limit(query.limit + 1),
    );
    return c.json(toPage(rows, query.limit, (row) => row.id, showEnvironment));
  });

  app.get('/v1/environments/:id', async (c) => {
    const row = await within(c.var.caller.organizationId, (tx) => findEnvironment(tx, c.req.param('id')));
    return c.json(showEnvironment(row));
  });

  app.post('/v1/environments/:id', async (c) => {
    const input = await readJson(c, environmentChanges);
    const id = c.req.param('id');
    const row = await within(c.var.caller.organizationId, async (tx) => {
      const current = await findEnvironment(tx, id, true);
      if (current.archivedAt) throw new ApiError('conflict_error', `Environment ${id} is archived.`);
      await tx
        .update(environments)
        .set({
          name: input.name ?? current.name,
          description: input.description ?? current.description,
          config: input.config ? checkConfig(input.config) : current.config,
          metadata: mergeMetadata(current.metadata, input.metadata),
          updatedAt: clock(),
        })
        .where(eq(environments.id, id));
      return findEnvironment(tx, id);
    });
    return c.json(showEnvironment(row));
  });

  app.post('/v1/environments/:id/archive', async (c) => {
    const id = c.req.param('id');
    const row = await within(c.var.caller.organizationId, async (tx) => {
      await findEnvironment(tx, id);
      await tx
        .update(environments)
        .set({ archivedAt: clock() })
        .where(and(eq(environments.id, id), isNull(environments.archivedAt)));
      return findEnvironment(tx, id);
    });
    return c.json(showEnvironment(row));
  });

  app.delete('/v1/environments/:id', async (c) => {
    const id = c.req.param('id');
    await within(c.var.caller.organizationId, async (tx) => {
      await findEnvironment(tx, id, true);
      await refuseUsed(tx, id);
      await tx.delete(environments).where(eq(environments.id, id));
    });
    return c.json({ id, type: 'environment_deleted' });
  });
}
