import { hash, randomBytes } from 'node:crypto';
import { and, asc, eq, gt, isNull, sql } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { apiKeys, consoleTokens, organizations } from '../store/schema.ts';

const dayMs = 24 * 60 * 60 * 1000;
export const linkLifetimeMs = dayMs;
export const cookieLifetimeMs = 30 * dayMs;

// Keys and tokens are long and random, so that a plain hash of them cannot be guessed back.
const hashOf = (secret: string) => hash('sha256', secret, 'hex');
const newSecret = () => randomBytes(32).toString('base64url');

/** The first organization, made when there is none. */
export async function ensureOrganization(database: Database, name = 'My organization'): Promise<string> {
  return database.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(7261901)`);
    const [known] = await tx.select().from(organizations).orderBy(asc(organizations.id)).limit(1);
    if (known) return known.id;
    const id = newId('org');
    await tx.insert(organizations).values({ id, name });
    return id;
  });
}

/** Makes an API key. The answer is the only time that it is seen: only its hash is stored. */
export async function createApiKey(
  database: Database,
  organizationId: string,
  name: string,
): Promise<string> {
  const key = `tag_${newSecret()}`;
  await database.insert(apiKeys).values({ id: newId('key'), organizationId, name, hash: hashOf(key) });
  return key;
}

/**
 * Lets the operator's own key in (`TAGALONG_API_KEY`). Throws a RangeError when it is too short to be safe, or when it
 * is another organization's.
 */
export async function ensureApiKey(database: Database, organizationId: string, key: string): Promise<void> {
  if (key.length < 20) throw new RangeError('An API key needs at least 20 characters.');
  const [row] = await database
    .insert(apiKeys)
    .values({ id: newId('key'), organizationId, name: 'TAGALONG_API_KEY', hash: hashOf(key) })
    .onConflictDoUpdate({ target: apiKeys.hash, set: { revokedAt: null } })
    .returning();
  if (row?.organizationId !== organizationId) {
    throw new RangeError('This API key belongs to another organization.');
  }
}

/** Whether the organization has any key yet: the first one is printed at the first start. */
export async function hasApiKey(database: Database, organizationId: string): Promise<boolean> {
  const [row] = await database
    .select({ id: apiKeys.id })
    .from(apiKeys)
    .where(and(eq(apiKeys.organizationId, organizationId), isNull(apiKeys.revokedAt)))
    .limit(1);
  return row !== undefined;
}

/** Finds whose key this is; the caller does not say for which organization it asks. */
export async function findApiKey(
  database: Database,
  key: string,
): Promise<{ organizationId: string } | undefined> {
  const [row] = await database
    .select({ organizationId: apiKeys.organizationId })
    .from(apiKeys)
    // Equal hashes only, found by index: its timing tells of the hash, never of the key.
    .where(and(eq(apiKeys.hash, hashOf(key)), isNull(apiKeys.revokedAt)));
  return row;
}

/** The token of a link that opens the console once, within 24 hours: `<base URL>/open/<token>`. */
export async function createLoginLink(
  database: Database,
  organizationId: string,
  now = new Date(),
): Promise<string> {
  const token = newSecret();
  await database.insert(consoleTokens).values({
    hash: hashOf(token),
    organizationId,
    kind: 'link',
    createdAt: now,
    expiresAt: new Date(now.getTime() + linkLifetimeMs),
  });
  return token;
}

/** Turns a link's token into a cookie's. Undefined when it is unknown, used or too old; of two at once, one wins. */
export async function redeemLoginLink(
  database: Database,
  token: string,
  now: Date,
): Promise<string | undefined> {
  return database.transaction(async (tx) => {
    const [link] = await tx
      .update(consoleTokens)
      .set({ usedAt: now })
      .where(
        and(
          eq(consoleTokens.hash, hashOf(token)),
          eq(consoleTokens.kind, 'link'),
          isNull(consoleTokens.usedAt),
          gt(consoleTokens.expiresAt, now),
        ),
      )
      .returning();
    if (!link) return undefined;
    const cookie = newSecret();
    await tx.insert(consoleTokens).values({
      hash: hashOf(cookie),
      organizationId: link.organizationId,
      kind: 'cookie',
      createdAt: now,
      expiresAt: new Date(now.getTime() + cookieLifetimeMs),
    });
    return cookie;
  });
}

/** Finds whose cookie this is, while it is valid. */
export async function findCookie(
  database: Database,
  cookie: string,
  now: Date,
): Promise<{ organizationId: string } | undefined> {
  const [row] = await database
    .select({ organizationId: consoleTokens.organizationId })
    .from(consoleTokens)
    .where(
      and(
        eq(consoleTokens.hash, hashOf(cookie)),
        eq(consoleTokens.kind, 'cookie'),
        gt(consoleTokens.expiresAt, now),
      ),
    );
  return row;
}

/** Removes links and cookies that are no longer valid; for a sweep. Answers how many. */
export async function forgetConsoleTokens(database: Database, now: Date): Promise<number> {
  const gone = await database.delete(consoleTokens).where(sql`${consoleTokens.expiresAt} < ${now}`);
  return gone.rowCount ?? 0;
}
