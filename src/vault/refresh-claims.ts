import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { eq, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { credentials } from '../store/schema.ts';
import { CredentialError } from './credential-store.ts';
import type { OauthDetail } from './vault-credential.ts';

type CredentialRow = typeof credentials.$inferSelect;

/** What the row of a credential says to somebody who wants to refresh its token. */
export type RefreshClaim<T> =
  /** It is theirs to ask, with what they need for it; others wait until they settle it. */
  | { kind: 'ours'; needed: T }
  /** Another process was first, or somebody entered another one. */
  | { kind: 'newer'; row: CredentialRow }
  /** Nothing is asked until it is entered anew; `reason` says why, in words. */
  | { kind: 'over'; version: number; reason: string | undefined }
  /** The server asked for time. */
  | { kind: 'later'; notBeforeMs: number }
  /** Another process asks just now. */
  | { kind: 'busy' };

/** What came of asking. */
export interface RefreshResult {
  oauth: OauthDetail;
  /** Of the rest of the detail. */
  detail?: Record<string, unknown>;
  sealed?: string;
  /** The credential is another from then on. */
  isNew: boolean;
}

/** A request to a token endpoint is over long before this: whoever began one and is not done has died over it. */
const unknownAfterMs = 90_000;
/** No two clocks are further apart: one that left a mark of a later time was set back since. */
const maxSkewMs = 3_600_000;
/** How long it is tried to store what was got, as while the database starts again, */
const storeForMs = 60_000;
const storeWaitMs = 200;
const maxStoreWaitMs = 5_000;
/** and how long somebody waits for it. */
const settlePatienceMs = 3_000;

/**
 * Who asks for a new token writes that down first. So of all processes one asks, and a process that dies between the
 * provider's answer and its storing leaves that behind: the refresh token may be spent, so it is not sent again, and the
 * credential says that it must be entered anew.
 */
export class RefreshClaims {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #by = randomUUID();

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * Claims the refresh of a credential of this version. `need` gives what asking takes, undefined where it cannot be
   * asked for at all; what it throws leaves no claim behind. Rejects with a CredentialError when the credential is gone.
   */
  claim<T>(
    organizationId: string,
    { id, version }: { id: string; version: number },
    need: (row: CredentialRow, oauth: OauthDetail) => T | undefined | Promise<T | undefined>,
  ): Promise<RefreshClaim<T>> {
    return withOrganization(this.#database, organizationId, async (tx) => {
      const row = await lock(tx, id);
      if (!row) throw new CredentialError('missing', `The credential ${id} is gone.`);
      if (row.version !== version) return { kind: 'newer', row };
      const now = this.#now();
      const { refreshing, ...oauth } = oauthOf(row);
      if (oauth.needsReauth) return { kind: 'over', version, reason: oauth.refused };
      const notBeforeMs = Date.parse(oauth.notBefore ?? '');
      if (notBeforeMs > now) return { kind: 'later', notBeforeMs };
      if (refreshing && mayBeAsking(now - Date.parse(refreshing.at))) return { kind: 'busy' };
      if (refreshing) {
        const refused = `A process died on ${refreshing.at} while it refreshed this token: the refresh token may be spent, so it is not sent again.`;
        const over = { ...oauth, needsReauth: 'refresh_unknown', refused } as const;
        return {
          kind: 'over',
          version: await write(tx, row, now, { oauth: over, isNew: true }),
          reason: refused,
        };
      }
      const needed = await need(row, oauth);
      if (needed === undefined) return { kind: 'over', version, reason: undefined };
      const mark = { by: this.#by, at: new Date(now).toISOString() };
      await write(tx, row, now, { oauth: { ...oauth, refreshing: mark }, isNew: false });
      return { kind: 'ours', needed };
    });
  }

  /**
   * Takes a claim back and stores what came of it: what a provider gave out once is nowhere else. `result` is given what
   * the row says otherwise. Answers the version that the credential has then; undefined when the claim is not ours any
   * more, and nothing was stored. Rejects when that takes long, and goes on trying.
   */
  settle(
    organizationId: string,
    id: string,
    result: (rest: OauthDetail) => RefreshResult,
  ): Promise<number | undefined> {
    const storing = this.#store(organizationId, id, result);
    const late = sleep(settlePatienceMs, undefined, { ref: false }).then(() => {
      throw new CredentialError('unavailable', `What came of refreshing ${id} is not stored yet.`);
    });
    return Promise.race([storing, late]);
  }

  async #store(
    organizationId: string,
    id: string,
    result: (rest: OauthDetail) => RefreshResult,
  ): Promise<number | undefined> {
    const endMs = performance.now() + storeForMs;
    for (let waitMs = storeWaitMs; ; waitMs = Math.min(2 * waitMs, maxStoreWaitMs)) {
      try {
        return await withOrganization(this.#database, organizationId, async (tx) => {
          const row = await lock(tx, id);
          if (!row) return undefined;
          const { refreshing, notBefore: _, ...rest } = oauthOf(row);
          return refreshing?.by === this.#by ? write(tx, row, this.#now(), result(rest)) : undefined;
        });
      } catch (error) {
        if (performance.now() + waitMs > endMs) throw error;
        await sleep(waitMs, undefined, { ref: false });
      }
    }
  }
}

function mayBeAsking(sinceMs: number): boolean {
  return sinceMs < unknownAfterMs && sinceMs > -maxSkewMs;
}

/** Undefined when there is none any more. */
async function lock(tx: Transaction, id: string): Promise<CredentialRow | undefined> {
  const [row] = await tx.select().from(credentials).where(eq(credentials.id, id)).for('update');
  return row?.archivedAt ? undefined : row;
}

function oauthOf({ detail }: CredentialRow): OauthDetail {
  return (detail.oauth ?? {}) as OauthDetail;
}

async function write(
  tx: Transaction,
  row: CredentialRow,
  now: number,
  { oauth, detail, sealed, isNew }: RefreshResult,
): Promise<number> {
  await tx
    .update(credentials)
    .set({
      detail: { ...row.detail, ...detail, oauth },
      ...(isNew ? { version: sql`${credentials.version} + 1`, updatedAt: new Date(now) } : {}),
      ...(sealed === undefined ? {} : { sealed }),
    })
    .where(eq(credentials.id, row.id));
  return isNew ? row.version + 1 : row.version;
}
