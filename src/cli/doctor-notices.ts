import { and, inArray, isNull } from 'drizzle-orm';
import { connect } from '../store/connection.ts';
import { adminNotices, type NoticeKind } from '../store/schema.ts';

/** What keeps an agent from answering. */
const troubles: readonly NoticeKind[] = ['publication.needs_reauth', 'publication.suspended'];

/** What waits for an admin, over all organizations: agents that cannot answer are a fault, the rest is only told. */
export async function checkNotices(url: string | undefined): Promise<{ ok: boolean; message: string }> {
  if (url === undefined) return { ok: true, message: 'show when the database runs' };
  const database = connect({ url, maxConnections: 1 });
  try {
    const open = await database
      .select()
      .from(adminNotices)
      .where(
        and(
          isNull(adminNotices.resolvedAt),
          inArray(adminNotices.kind, [...troubles, 'publication.capabilities_requested']),
        ),
      )
      .orderBy(adminNotices.id)
      .limit(20);
    if (open.length === 0) return { ok: true, message: 'none: every published agent can answer' };
    const ok = open.every(({ kind }) => !troubles.includes(kind));
    return { ok, message: open.map(({ text }) => text).join('\n            ') };
  } catch {
    // What is wrong with the database has a line of its own.
    return { ok: true, message: 'show when the database works' };
  } finally {
    await database.$client.end();
  }
}
