import { and, desc, isNull, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import { withOrganization } from '../../store/organization.ts';
import { adminNotices, notificationUrls } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { readJson, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';
import {
  addNotificationUrl,
  type NotificationUrlRow,
  removeNotificationUrl,
  tryNotificationUrl,
} from '../notices/urls.ts';

const urlInput = z.strictObject({
  url: z.string().trim().min(1).max(2_000),
  name: z.string().trim().min(1).max(80).optional(),
});

function showNotice(row: typeof adminNotices.$inferSelect) {
  return {
    id: row.id,
    type: 'notice',
    kind: row.kind,
    publication_id: row.publicationId,
    text: row.text,
    created_at: row.createdAt,
    resolved_at: row.resolvedAt,
  };
}

function showUrl(row: NotificationUrlRow) {
  return {
    id: row.id,
    type: 'notification_url',
    name: row.name,
    host: row.host,
    created_at: row.createdAt,
    last_tried_at: row.lastTriedAt,
    last_status: row.lastStatus,
    last_error: row.lastError,
  };
}

/** `/v1/notices`: what admins were told, newest first. `/v1/notification_urls`: where it is sent as well. */
export function noticeRoutes(app: Hono<GatewayEnv>, deps: GatewayDeps): void {
  const { database } = deps;

  app.get('/v1/notices', async (c) => {
    const query = readQuery(c, z.object({ ...pageParameters(), state: z.enum(['open']).optional() }));
    const after = decodeCursor(query.page);
    const rows = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx
        .select()
        .from(adminNotices)
        .where(
          and(
            query.state === undefined ? undefined : isNull(adminNotices.resolvedAt),
            after === undefined ? undefined : lt(adminNotices.id, after),
          ),
        )
        .orderBy(desc(adminNotices.id))
        .limit(query.limit + 1),
    );
    return c.json(toPage(rows, query.limit, (row) => row.id, showNotice));
  });

  app.get('/v1/notification_urls', async (c) => {
    const rows = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx.select().from(notificationUrls).orderBy(desc(notificationUrls.id)),
    );
    return c.json({ data: rows.map(showUrl), next_page: null });
  });

  app.post('/v1/notification_urls', async (c) => {
    const { url, name } = await readJson(c, urlInput);
    const { row, secret } = await addNotificationUrl(deps, c.var.caller.organizationId, { url, name });
    return c.json({ ...showUrl(row), signing_secret: secret }, 201);
  });

  app.post('/v1/notification_urls/:id/test', async (c) => {
    await tryNotificationUrl(deps, c.var.caller.organizationId, c.req.param('id'));
    return c.json({ id: c.req.param('id'), type: 'notification_test' }, 202);
  });

  app.delete('/v1/notification_urls/:id', async (c) => {
    await removeNotificationUrl(deps, c.var.caller.organizationId, c.req.param('id'));
    return c.json({ id: c.req.param('id'), type: 'notification_url_deleted' });
  });
}
