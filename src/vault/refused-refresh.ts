import { eq } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { changePublicationState } from '../store/publication-changes.ts';
import { credentials } from '../store/schema.ts';
import type { OnRefused } from './rotating-tokens.ts';

/**
 * Marks the publication of a token that its provider will not refresh: it has to be installed again, and its admins are
 * told. Not where the credential was replaced meanwhile. Never rejects: whoever wanted the token is refused anyway.
 */
export function markRefused(database: Database, logger: Logger, now: () => number): OnRefused {
  return async ({ organizationId, id, version, publicationId }, message) => {
    try {
      await withOrganization(database, organizationId, async (tx) => {
        const [row] = await tx
          .select({ version: credentials.version })
          .from(credentials)
          .where(eq(credentials.id, id));
        if (row?.version !== version) return;
        await changePublicationState(tx, publicationId, 'revoked', message, new Date(now()));
      });
    } catch (err) {
      logger.warn({ err, publicationId }, 'A publication could not be marked as revoked.');
    }
  };
}
