import { and, eq, inArray, isNull } from 'drizzle-orm';
import type { Transaction } from './connection.ts';
import { newId } from './ids.ts';
import { enqueue } from './jobs.ts';
import { adminNotices, type NoticeKind, notificationUrls } from './schema.ts';

export interface NewNotice {
  organizationId: string;
  kind: NoticeKind;
  publicationId: string | null;
  /** A sentence or two for an admin, without a secret. */
  text: string;
  /** Nothing is to be done about it: it is told, and not shown as open. */
  settled?: boolean;
  /** Just this one of the organization's addresses. */
  onlyUrlId?: string;
}

/** How often an address that does not take a notice is tried: by the runner's backoff for most of a day. */
const maxAttempts = 12;
const maxTextChars = 1_500;

/**
 * Tells the organization's admins, in the caller's transaction: a row, and a `notify` job for every address that notices
 * are sent to. One that is open about the same thing already is not told again. Answers its id, undefined where none
 * was written.
 */
export async function raiseNotice(
  tx: Transaction,
  notice: NewNotice,
  now: Date,
): Promise<string | undefined> {
  const { organizationId, kind, publicationId } = notice;
  const id = newId('ntc');
  const written = await tx
    .insert(adminNotices)
    .values({
      id,
      organizationId,
      kind,
      publicationId,
      text: storableText(notice.text),
      createdAt: now,
      resolvedAt: notice.settled ? now : null,
    })
    .onConflictDoNothing()
    .returning({ id: adminNotices.id });
  if (written.length === 0) return undefined;
  const urls = await tx
    .select({ id: notificationUrls.id })
    .from(notificationUrls)
    .where(notice.onlyUrlId === undefined ? undefined : eq(notificationUrls.id, notice.onlyUrlId));
  for (const url of urls) {
    const job = { organizationId, noticeId: id, urlId: url.id };
    await enqueue(tx, 'notify', job, { key: `notify:${id}:${url.id}`, maxAttempts });
  }
  return id;
}

/** Words of providers are in it: Postgres stores neither NUL nor half a surrogate pair, and nobody reads pages of it. Pure. */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '').slice(0, maxTextChars).toWellFormed();
}

/** Closes what is open about a publication. Answers how many. */
export async function resolveNotices(
  tx: Transaction,
  publicationId: string,
  kinds: readonly NoticeKind[],
  now: Date,
): Promise<number> {
  const closed = await tx
    .update(adminNotices)
    .set({ resolvedAt: now })
    .where(
      and(
        eq(adminNotices.publicationId, publicationId),
        inArray(adminNotices.kind, [...kinds]),
        isNull(adminNotices.resolvedAt),
      ),
    )
    .returning({ id: adminNotices.id });
  return closed.length;
}
