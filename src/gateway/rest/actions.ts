import { and, desc, eq, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import { withOrganization } from '../../store/organization.ts';
import { actions } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { notFound, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';

type ActionRow = typeof actions.$inferSelect;

function show(row: ActionRow) {
  return {
    id: row.id,
    type: 'action',
    session_id: row.sessionId,
    turn_id: row.turnId,
    provider: row.provider,
    capability: row.capability,
    tool: row.tool,
    arguments: row.arguments,
    decision: row.decision,
    reason: row.reason,
    state: row.state,
    result: row.result,
    created_at: row.createdAt,
    settled_at: row.settledAt,
  };
}

/** `/v1/actions`: what agents did or wanted to do outside, newest first, allowed or refused. */
export function actionRoutes(app: Hono<GatewayEnv>, { database }: GatewayDeps): void {
  app.get('/v1/actions', async (c) => {
    const query = readQuery(
      c,
      z.object({
        ...pageParameters(),
        session_id: z.string().optional(),
        state: z.enum(['queued', 'sent', 'failed', 'refused', 'waiting']).optional(),
      }),
    );
    const after = decodeCursor(query.page);
    const rows = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx
        .select()
        .from(actions)
        .where(
          and(
            query.session_id === undefined ? undefined : eq(actions.sessionId, query.session_id),
            query.state === undefined ? undefined : eq(actions.state, query.state),
            after === undefined ? undefined : lt(actions.id, after),
          ),
        )
        .orderBy(desc(actions.id))
        .limit(query.limit + 1),
    );
    return c.json(toPage(rows, query.limit, (row) => row.id, show));
  });

  app.get('/v1/actions/:id', async (c) => {
    const [row] = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx
        .select()
        .from(actions)
        .where(eq(actions.id, c.req.param('id'))),
    );
    if (!row) throw notFound('action', c.req.param('id'));
    return c.json(show(row));
  });
}
