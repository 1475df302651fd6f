import { and, asc, desc, eq, gt, inArray, isNull, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import type { Transaction } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import { agents, agentVersions, anchors, sessionEvents, sessions } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps, SessionsPort } from '../deps.ts';
import { ApiError, notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';
import type { EventRow } from '../session-tail.ts';
import { metadata, showAgent } from './agents.ts';
import { refuseTiesAmong } from './credential-ties.ts';
import { requireEnvironment } from './environments.ts';
import { refuseVaultsOfSession } from './passthrough-ties.ts';
import { requireVaults } from './vaults.ts';

type SessionRow = typeof sessions.$inferSelect;
type AnchorRow = typeof anchors.$inferSelect;

/** An event of a session's log as the Managed Agents API shows it. */
export function showEvent(row: EventRow) {
  return { ...row.payload, id: row.id, type: row.type, processed_at: row.processedAt };
}

function showSession(row: SessionRow, agent: ReturnType<typeof showAgent>, places: AnchorRow[]) {
  return {
    id: row.id,
    type: 'session',
    status: row.status,
    agent,
    environment_id: row.environmentId,
    title: row.title,
    metadata: row.metadata,
    resources: [],
    vault_ids: row.vaultIds,
    usage: row.usage,
    stats: {},
    outcome_evaluations: [],
    budget: null,
    publication_id: row.publicationId,
    anchors: places.map(({ id, provider, place }) => ({ id, provider, place })),
    sandbox: row.sandbox,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
    archived_at: row.archivedAt,
  };
}

function selectSessions(tx: Transaction) {
  return tx
    .select()
    .from(sessions)
    .innerJoin(agents, eq(agents.id, sessions.agentId))
    .innerJoin(
      agentVersions,
      and(eq(agentVersions.agentId, sessions.agentId), eq(agentVersions.version, sessions.agentVersion)),
    );
}

type JoinedRow = Awaited<ReturnType<ReturnType<typeof selectSessions>['execute']>>[number];

async function showSessions(tx: Transaction, rows: JoinedRow[]) {
  const ids = rows.map((row) => row.sessions.id);
  const places =
    ids.length === 0
      ? []
      : await tx.select().from(anchors).where(inArray(anchors.sessionId, ids)).orderBy(anchors.id);
  const bySession = Map.groupBy(places, (row) => row.sessionId);
  return rows.map((row) =>
    showSession(
      row.sessions,
      showAgent(row.agents, row.agent_versions),
      bySession.get(row.sessions.id) ?? [],
    ),
  );
}

async function readSession(tx: Transaction, id: string) {
  const rows = await selectSessions(tx).where(eq(sessions.id, id));
  const [shown] = await showSessions(tx, rows);
  if (!shown) throw notFound('session', id);
  return shown;
}

/** Throws a not_found_error unless the organization has this session. */
export async function requireSession(tx: Transaction, id: string): Promise<void> {
  const [found] = await tx.select({ id: sessions.id }).from(sessions).where(eq(sessions.id, id));
  if (!found) throw notFound('session', id);
}

/** `/v1/sessions`: read sessions and their logs; with a `SessionsPort` also make them and speak to them. */
export function sessionRoutes(app: Hono<GatewayEnv>, deps: GatewayDeps): void {
  const { database } = deps;

  app.get('/v1/sessions', async (c) => {
    const query = readQuery(
      c,
      z.object({
        ...pageParameters(),
        agent_id: z.string().optional(),
        publication_id: z.string().optional(),
        include_archived: z.enum(['true', 'false']).default('false'),
      }),
    );
    const after = decodeCursor(query.page);
    const page = await withOrganization(database, c.var.caller.organizationId, async (tx) => {
      const rows = await selectSessions(tx)
        .where(
          and(
            query.agent_id === undefined ? undefined : eq(sessions.agentId, query.agent_id),
            query.publication_id === undefined ? undefined : eq(sessions.publicationId, query.publication_id),
            query.include_archived === 'true' ? undefined : isNull(sessions.archivedAt),
            after === undefined ? undefined : lt(sessions.id, after),
          ),
        )
        .orderBy(desc(sessions.id))
        .limit(query.limit + 1);
      const cut = toPage(
        rows,
        query.limit,
        (row) => row.sessions.id,
        (row) => row,
      );
      return { ...cut, data: await showSessions(tx, cut.data) };
    });
    return c.json(page);
  });

  app.get('/v1/sessions/:id', async (c) =>
    c.json(
      await withOrganization(database, c.var.caller.organizationId, (tx) =>
        readSession(tx, c.req.param('id')),
      ),
    ),
  );

  app.post('/v1/sessions/:id', async (c) => {
    const input = await readJson(c, updateInput);
    const id = c.req.param('id');
    const shown = await withOrganization(database, c.var.caller.organizationId, async (tx) => {
      const [row] = await tx.select().from(sessions).where(eq(sessions.id, id));
      if (!row) throw notFound('session', id);
      if (input.vault_ids) {
        await requireVaults(tx, input.vault_ids);
        await refuseVaultsOfSession(tx, row.publicationId, input.vault_ids);
      }
      await requireEnvironment(tx, input.environment_id);
      await tx
        .update(sessions)
        .set({
          vaultIds: input.vault_ids ?? row.vaultIds,
          environmentId: input.environment_id === undefined ? row.environmentId : input.environment_id,
        })
        .where(eq(sessions.id, id));
      return readSession(tx, id);
    });
    return c.json(shown);
  });

  app.get('/v1/sessions/:id/events', async (c) => {
    const query = readQuery(
      c,
      z.object({ ...pageParameters(100, 1_000), order: z.enum(['asc', 'desc']).default('asc') }),
    );
    const types = c.req.queries('types[]') ?? [];
    const id = c.req.param('id');
    const isAscending = query.order === 'asc';
    const cursor = decodeCursor(query.page);
    const after = cursor === undefined ? undefined : Number(cursor) || 0;
    const rows = await withOrganization(database, c.var.caller.organizationId, async (tx) => {
      await requireSession(tx, id);
      return tx
        .select()
        .from(sessionEvents)
        .where(
          and(
            eq(sessionEvents.sessionId, id),
            types.length === 0 ? undefined : inArray(sessionEvents.type, types),
            after === undefined ? undefined : (isAscending ? gt : lt)(sessionEvents.position, after),
          ),
        )
        .orderBy((isAscending ? asc : desc)(sessionEvents.position))
        .limit(query.limit + 1);
    });
    return c.json(toPage(rows, query.limit, (row) => row.position, showEvent));
  });

  if (deps.sessions) speakRoutes(app, deps, deps.sessions);
}

const agentInput = z
  .union([
    z.string().min(1),
    z.strictObject({
      type: z.literal('agent'),
      id: z.string().min(1),
      version: z.int().positive().optional(),
    }),
  ])
  .transform((value) => (typeof value === 'string' ? { id: value, version: undefined } : value));

const environmentId = z.string().min(1);
/** The first one's credentials before the others'. */
const vaultIds = z.array(z.string().min(1)).max(16);

const createInput = z.strictObject({
  agent: agentInput,
  title: z.string().max(256).nullish(),
  metadata: metadata.default({}),
  environment_id: environmentId.nullish(),
  vault_ids: vaultIds.default([]),
});

const updateInput = z.strictObject({
  vault_ids: vaultIds.optional(),
  /** Null: what its publication says. */
  environment_id: environmentId.nullable().optional(),
});

const sendInput = z.strictObject({
  events: z
    .array(
      z.discriminatedUnion('type', [
        z.strictObject({
          type: z.literal('user.message'),
          content: z
            .array(z.strictObject({ type: z.literal('text'), text: z.string().min(1).max(200_000) }))
            .min(1)
            .max(100),
        }),
        z.strictObject({ type: z.literal('user.interrupt') }),
      ]),
    )
    .min(1)
    .max(50),
});

function speakRoutes(app: Hono<GatewayEnv>, { database }: GatewayDeps, port: SessionsPort): void {
  app.post('/v1/sessions', async (c) => {
    const input = await readJson(c, createInput);
    const { organizationId } = c.var.caller;
    await withOrganization(database, organizationId, async (tx) => {
      const [agent] = await tx.select().from(agents).where(eq(agents.id, input.agent.id));
      if (!agent) throw notFound('agent', input.agent.id);
      if (agent.archivedAt) throw new ApiError('conflict_error', `Agent ${agent.id} is archived.`);
      const { version } = input.agent;
      if (version !== undefined && version > agent.version) {
        throw notFound(`version ${version} of agent`, agent.id);
      }
      await requireVaults(tx, input.vault_ids);
      await refuseTiesAmong(tx, input.vault_ids);
      await requireEnvironment(tx, input.environment_id);
    });
    const id = await port.create({
      organizationId,
      agentId: input.agent.id,
      agentVersion: input.agent.version,
      title: input.title ?? undefined,
      metadata: input.metadata,
    });
    const shown = await withOrganization(database, organizationId, async (tx) => {
      await tx
        .update(sessions)
        .set({ vaultIds: input.vault_ids, environmentId: input.environment_id ?? null })
        .where(eq(sessions.id, id));
      return readSession(tx, id);
    });
    return c.json(shown, 201);
  });

  app.post('/v1/sessions/:id/events', async (c) => {
    const { events } = await readJson(c, sendInput);
    const { organizationId } = c.var.caller;
    const sessionId = c.req.param('id');
    await withOrganization(database, organizationId, (tx) => requireSession(tx, sessionId));
    const ids: string[] = [];
    for (const event of events) {
      ids.push(
        event.type === 'user.interrupt'
          ? await port.interrupt({ organizationId, sessionId })
          : await port.say({
              organizationId,
              sessionId,
              text: event.content.map(({ text }) => text).join('\n\n'),
            }),
      );
    }
    const stored = await withOrganization(database, organizationId, (tx) =>
      tx
        .select()
        .from(sessionEvents)
        .where(inArray(sessionEvents.id, ids))
        .orderBy(asc(sessionEvents.position)),
    );
    return c.json({ data: stored.map(showEvent) });
  });
}
