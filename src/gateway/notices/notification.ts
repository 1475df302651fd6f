import type { adminNotices } from '../../store/schema.ts';

type Notice = typeof adminNotices.$inferSelect;

/**
 * What is posted to a notification address: an event as the Managed Agents API's webhooks have it, and a `text` beside
 * it, so that an incoming webhook of Slack (and of what copies it) shows it as it is. Pure.
 */
export function notificationBody(notice: Notice, baseUrl: string): string {
  const { id, kind, organizationId, publicationId, createdAt } = notice;
  const path = publicationId === null ? '/notices' : `/publications/${publicationId}`;
  // Names and providers' words are in it: in angle brackets Slack would take them for links and for @channel.
  const text = notice.text.replace(/[<>]/g, '');
  return JSON.stringify({
    text: `${text}\n${new URL(path, baseUrl).href}`,
    type: 'event',
    id,
    created_at: createdAt.toISOString(),
    data: { type: kind, id: publicationId, organization_id: organizationId },
  });
}
