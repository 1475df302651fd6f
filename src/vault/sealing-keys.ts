import { eq } from 'drizzle-orm';
import type { JWK } from 'jose';
import type { Database } from '../store/connection.ts';
import { organizations } from '../store/schema.ts';
import { organizationPublicKey, type RootKeys, readableKeys, writingKey } from './keys.ts';
import { SealError } from './seal.ts';

/**
 * Writes an organization's public sealing key where there is none, or one of a root key that is being replaced, and
 * answers it. Rejects with a SealError `unknown_key` when the one that is there belongs to another root key. Under the
 * owner role: the application role may not change an organization.
 */
export async function publishSealingKey(
  database: Database,
  rootKeys: RootKeys,
  organizationId: string,
): Promise<JWK> {
  const key = organizationPublicKey(writingKey(rootKeys), organizationId);
  const [row] = await database
    .select({ stored: organizations.sealingPublicKey })
    .from(organizations)
    .where(eq(organizations.id, organizationId));
  const stored = row?.stored?.x;
  if (stored === key.x) return key;
  const known = readableKeys(rootKeys).map((each) => organizationPublicKey(each, organizationId).x);
  if (stored !== undefined && !known.includes(String(stored))) {
    throw new SealError(
      'unknown_key',
      'This database was sealed with another root key. Set TAGALONG_ROOT_KEY to that one; to replace it, set the new one and the old one as TAGALONG_ROOT_KEY_PREVIOUS.',
    );
  }
  await database
    .update(organizations)
    .set({ sealingPublicKey: key as Record<string, unknown> })
    .where(eq(organizations.id, organizationId));
  return key;
}
