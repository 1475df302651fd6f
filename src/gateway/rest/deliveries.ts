import { and, desc, eq, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import { withOrganization } from '../../store/organization.ts';
import { deliveries } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { notFound, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';
import { readReason, whyOf } from '../why.ts';

const columns = {
  id: deliveries.id,
  publicationId: deliveries.publicationId,
  provider: deliveries.provider,
  headers: deliveries.headers,
  receivedAt: deliveries.receivedAt,
  settledAt: deliveries.settledAt,
  outcome: deliveries.outcome,
  reason: deliveries.reason,
  sessionId: deliveries.sessionId,
};
type DeliveryRow = Pick<typeof deliveries.$inferSelect, keyof typeof columns>;

/** `/v1/deliveries`: what came in, newest first, and what became of it and why. Never the body. */
export function deliveryRoutes(app: Hono<GatewayEnv>, { database, ignoreReasons }: GatewayDeps): void {
  const show = (row: DeliveryRow) => {
    const { code, detail } = readReason(row.reason);
    const message = whyOf(row.outcome, code, detail, ignoreReasons);
    return {
      id: row.id,
      type: 'delivery',
      publication_id: row.publicationId,
      provider: row.provider,
      headers: row.headers,
      received_at: row.receivedAt,
      settled_at: row.settledAt,
      outcome: {
        kind: row.outcome,
        ...(code === undefined ? {} : { reason: code }),
        ...(detail === undefined ? {} : { detail }),
        message,
        ...(row.sessionId === null ? {} : { session_id: row.sessionId }),
      },
    };
  };

  app.get('/v1/deliveries', async (c) => {
    const query = readQuery(
      c,
      z.object({
        ...pageParameters(),
        publication_id: z.string().optional(),
        outcome: z.enum(['pending', 'routed', 'ignored', 'failed']).optional(),
      }),
    );
    const after = decodeCursor(query.page);
    const rows = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx
        .select(columns)
        .from(deliveries)
        .where(
          and(
            query.publication_id === undefined
              ? undefined
              : eq(deliveries.publicationId, query.publication_id),
            query.outcome === undefined ? undefined : eq(deliveries.outcome, query.outcome),
            after === undefined ? undefined : lt(deliveries.id, after),
          ),
        )
        .orderBy(desc(deliveries.id))
        .limit(query.limit + 1),
    );
    return c.json(toPage(rows, query.limit, (row) => row.id, show));
  });

  app.get('/v1/deliveries/:id', async (c) => {
    const [row] = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx
        .select(columns)
        .from(deliveries)
        .where(eq(deliveries.id, c.req.param('id'))),
    );
    if (!row) throw notFound('delivery', c.req.param('id'));
    return c.json(show(row));
  });
}
