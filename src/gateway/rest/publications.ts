import { and, desc, eq, inArray, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import { withOrganization } from '../../store/organization.ts';
import { type InstallationIdentity, installations, publications } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';
import {
  checkCapabilities,
  confirmPublication,
  createPublication,
  type PublicationRow,
  unpublish,
} from '../publishing.ts';

const provider = z.enum(['slack', 'github', 'linear']);
const capabilities = z.record(z.string(), z.enum(['on', 'ask', 'off']));
const policy = z.strictObject({
  allowed_hosts: z
    .array(
      z
        .string()
        .regex(
          /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/,
          'a host name in lower case, as example.com or *.example.com, without scheme, port or path',
        ),
    )
    .max(200)
    .optional(),
});

const createInput = z.strictObject({
  provider,
  agent_id: z.string().min(1),
  credentials: z.unknown().refine((value) => value !== undefined, 'required'),
  capabilities: capabilities.optional(),
  policy: policy.optional(),
});

/** What an admin may change. Capabilities are set as a whole: what is left out goes back to its default. */
const updateInput = z.strictObject({ capabilities: capabilities.optional(), policy: policy.optional() });

/** `/v1/publications`: publish headless, read, change what it may do, confirm again, unpublish. */
export function publicationRoutes(
  app: Hono<GatewayEnv>,
  deps: GatewayDeps,
  onChanged: (publicationId: string) => void,
): void {
  const { database, config, clock } = deps;

  const show = (row: PublicationRow, identity: InstallationIdentity | undefined) => ({
    id: row.id,
    type: 'publication',
    provider: row.provider,
    agent_id: row.agentId,
    state: row.state,
    state_reason: row.stateReason,
    webhook_url: new URL(`/webhooks/${row.provider}/${row.id}`, config.baseUrl).href,
    identity: identity ?? null,
    capabilities: row.capabilities,
    policy: row.policy,
    emulated: row.emulated,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
  });

  const showAll = async (organizationId: string, rows: PublicationRow[]) => {
    const found = await withOrganization(database, organizationId, (tx) =>
      rows.length === 0
        ? Promise.resolve([])
        : tx
            .select()
            .from(installations)
            .where(
              inArray(
                installations.publicationId,
                rows.map((row) => row.id),
              ),
            )
            .orderBy(installations.id),
    );
    const identities = new Map(found.map((row) => [row.publicationId, row.identity]));
    return rows.map((row) => show(row, identities.get(row.id)));
  };

  const read = async (organizationId: string, id: string) => {
    const [row] = await withOrganization(database, organizationId, (tx) =>
      tx.select().from(publications).where(eq(publications.id, id)),
    );
    if (!row) throw notFound('publication', id);
    const [shown] = await showAll(organizationId, [row]);
    return shown;
  };

  app.post('/v1/publications', async (c) => {
    const input = await readJson(c, createInput);
    const { organizationId } = c.var.caller;
    const id = await createPublication(deps, organizationId, {
      provider: input.provider,
      agentId: input.agent_id,
      credentials: input.credentials,
      ...(input.capabilities ? { capabilities: input.capabilities } : {}),
      ...(input.policy ? { policy: withoutUndefined(input.policy) } : {}),
    });
    return c.json(await read(organizationId, id), 201);
  });

  app.get('/v1/publications', async (c) => {
    const query = readQuery(
      c,
      z.object({ ...pageParameters(), provider: provider.optional(), agent_id: z.string().optional() }),
    );
    const after = decodeCursor(query.page);
    const { organizationId } = c.var.caller;
    const rows = await withOrganization(database, organizationId, (tx) =>
      tx
        .select()
        .from(publications)
        .where(
          and(
            query.provider === undefined ? undefined : eq(publications.provider, query.provider),
            query.agent_id === undefined ? undefined : eq(publications.agentId, query.agent_id),
            after === undefined ? undefined : lt(publications.id, after),
          ),
        )
        .orderBy(desc(publications.id))
        .limit(query.limit + 1),
    );
    const page = toPage(
      rows,
      query.limit,
      (row) => row.id,
      (row) => row,
    );
    return c.json({ ...page, data: await showAll(organizationId, page.data) });
  });

  app.get('/v1/publications/:id', async (c) =>
    c.json(await read(c.var.caller.organizationId, c.req.param('id'))),
  );

  app.post('/v1/publications/:id', async (c) => {
    const input = await readJson(c, updateInput);
    const { organizationId } = c.var.caller;
    const id = c.req.param('id');
    await withOrganization(database, organizationId, async (tx) => {
      const [row] = await tx.select().from(publications).where(eq(publications.id, id)).for('update');
      if (!row) throw notFound('publication', id);
      if (input.capabilities) checkCapabilities(row.provider, input.capabilities);
      await tx
        .update(publications)
        .set({
          ...(input.capabilities ? { capabilities: input.capabilities } : {}),
          ...(input.policy ? { policy: withoutUndefined(input.policy) } : {}),
          updatedAt: clock(),
        })
        .where(eq(publications.id, id));
    });
    return c.json(await read(organizationId, id));
  });

  app.post('/v1/publications/:id/confirm', async (c) => {
    const { organizationId } = c.var.caller;
    await confirmPublication(deps, organizationId, c.req.param('id'));
    return c.json(await read(organizationId, c.req.param('id')));
  });

  app.post('/v1/publications/:id/unpublish', async (c) => {
    const { organizationId } = c.var.caller;
    await unpublish(deps, organizationId, c.req.param('id'));
    onChanged(c.req.param('id'));
    return c.json(await read(organizationId, c.req.param('id')));
  });
}

function withoutUndefined(input: z.output<typeof policy>): { allowed_hosts?: string[] } {
  return input.allowed_hosts === undefined ? {} : { allowed_hosts: input.allowed_hosts };
}
