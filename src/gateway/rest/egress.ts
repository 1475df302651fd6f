import { and, desc, eq, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import { withOrganization } from '../../store/organization.ts';
import { egressRequests } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';

type EgressRow = typeof egressRequests.$inferSelect;

function show(row: EgressRow) {
  return {
    id: row.id,
    type: 'egress_request',
    session_id: row.sessionId,
    turn_id: row.turnId,
    installation_id: row.installationId,
    at: row.at,
    method: row.method,
    scheme: row.scheme,
    host: row.host,
    port: row.port,
    path: row.path,
    status: row.status,
    bytes_up: row.bytesUp,
    bytes_down: row.bytesDown,
    duration_ms: row.durationMs,
    credential: row.credential,
    decision: row.decision,
    rule: row.rule,
    model_usage:
      row.model === null && row.outputTokens === null
        ? null
        : {
            model: row.model,
            input_tokens: row.inputTokens,
            output_tokens: row.outputTokens,
            cached_tokens: row.cachedTokens,
            stop_reason: row.stopReason,
          },
  };
}

/** `/v1/egress_requests`: every request through the egress process, newest first. */
export function egressRoutes(app: Hono<GatewayEnv>, { database }: GatewayDeps): void {
  app.get('/v1/egress_requests', async (c) => {
    const query = readQuery(
      c,
      z.object({
        ...pageParameters(50, 500),
        session_id: z.string().optional(),
        decision: z.enum(['allowed', 'refused', 'failed']).optional(),
      }),
    );
    const after = decodeCursor(query.page);
    const rows = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx
        .select()
        .from(egressRequests)
        .where(
          and(
            query.session_id === undefined ? undefined : eq(egressRequests.sessionId, query.session_id),
            query.decision === undefined ? undefined : eq(egressRequests.decision, query.decision),
            after === undefined ? undefined : lt(egressRequests.id, after),
          ),
        )
        .orderBy(desc(egressRequests.id))
        .limit(query.limit + 1),
    );
    return c.json(toPage(rows, query.limit, (row) => row.id, show));
  });
}
