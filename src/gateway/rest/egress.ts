import type { Hono } from 'hono';
import { z } from 'zod';
import { type EgressRequest, newestEgressRequests } from '../../store/egress-requests.ts';
import { withOrganization } from '../../store/organization.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';

function show(row: EgressRequest) {
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
    const rows = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      newestEgressRequests(tx, {
        ...{ sessionId: query.session_id, decision: query.decision },
        ...{ before: decodeCursor(query.page), limit: query.limit + 1 },
      }),
    );
    return c.json(toPage(rows, query.limit, (row) => row.id, show));
  });
}
