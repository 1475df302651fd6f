import { randomBytes } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { newId } from '../../store/ids.ts';
import { raiseNotice } from '../../store/notices.ts';
import { withOrganization } from '../../store/organization.ts';
import { notificationUrls } from '../../store/schema.ts';
import { canonicalHost } from '../../vault/egress/host-names.ts';
import { notificationBinding } from '../../vault/seal.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, notFound } from '../errors.ts';
import { sealingKey } from '../publish/credentials.ts';

export type NotificationUrlRow = typeof notificationUrls.$inferSelect;
export type NotificationDeps = Pick<GatewayDeps, 'database' | 'secrets' | 'clock'>;

/** Each notice makes a job for each of them. */
const maxUrls = 10;
/** The Standard Webhooks specification asks for 24 to 64 bytes. */
const secretBytes = 32;

/** The address in its one form. Throws an ApiError that says what is wrong with it. Pure. */
export function checkNotificationUrl(text: string): URL {
  const wrong = (why: string) => new ApiError('invalid_request_error', `url: ${why}`);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:') throw wrong('it must be an https address, as https://hooks.example.com/…');
  if (url.username || url.password) throw wrong('it must not hold a user name or password.');
  if (url.port) throw wrong('it must be on port 443: leave the port out.');
  const host = canonicalHost(url.hostname);
  if (!host.ok || !host.host.includes('.')) {
    throw wrong('it must name a public host; addresses by number and local names are not taken.');
  }
  url.hash = '';
  return url;
}

/** Adds an address. Its secret is in this answer and never again: what is stored opens in the egress process only. */
export async function addNotificationUrl(
  deps: NotificationDeps,
  organizationId: string,
  input: { url: string; name: string | undefined },
): Promise<{ row: NotificationUrlRow; secret: string }> {
  const url = checkNotificationUrl(input.url);
  const id = newId('nurl');
  const secret = `whsec_${randomBytes(secretBytes).toString('base64')}`;
  return withOrganization(deps.database, organizationId, async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`notify ${organizationId}`}, 0))`);
    const known = await tx.select({ id: notificationUrls.id }).from(notificationUrls);
    if (known.length >= maxUrls) {
      throw new ApiError('conflict_error', `There are ${maxUrls} addresses already. Remove one first.`);
    }
    const sealed = await deps.secrets.sealCredential(
      await sealingKey(tx),
      notificationBinding(organizationId, id),
      { url: url.href, signing_secret: secret },
    );
    const name = input.name ?? url.hostname;
    const [row] = await tx
      .insert(notificationUrls)
      .values({ id, organizationId, name, host: url.hostname, sealed, createdAt: deps.clock() })
      .returning();
    if (!row) throw new ApiError('api_error', 'The address was not stored. Try again.');
    return { row, secret };
  });
}

/** Takes an address off the list; what was on its way there is dropped. Throws where there is none. */
export async function removeNotificationUrl(
  deps: NotificationDeps,
  organizationId: string,
  id: string,
): Promise<void> {
  const gone = await withOrganization(deps.database, organizationId, (tx) =>
    tx.delete(notificationUrls).where(eq(notificationUrls.id, id)).returning({ id: notificationUrls.id }),
  );
  if (gone.length === 0) throw notFound('notification address', id);
}

/** Sends a notice that says that it is a trial, to this address alone. */
export async function tryNotificationUrl(
  deps: NotificationDeps,
  organizationId: string,
  id: string,
): Promise<void> {
  await withOrganization(deps.database, organizationId, async (tx) => {
    const [row] = await tx.select().from(notificationUrls).where(eq(notificationUrls.id, id));
    if (!row) throw notFound('notification address', id);
    await raiseNotice(
      tx,
      {
        organizationId,
        kind: 'notification.test',
        publicationId: null,
        text: `This is a trial for ${row.name}. Tagalong will tell you here when an agent needs you.`,
        settled: true,
        onlyUrlId: id,
      },
      deps.clock(),
    );
  });
}
