import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { and, eq, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { credentials } from '../store/schema.ts';
import { CredentialError } from './credential-store.ts';
import { keepNewest } from './keep-newest.ts';
import { organizationPublicKey, type RootKeys, writingKey } from './keys.ts';
import { type RefreshOutcome, readRefresh, refreshRequest, type TokenAnswer } from './refresh-request.ts';
import { credentialBinding, openCredential, sealCredential } from './seal.ts';
import type { OauthDetail, VaultCredential, VaultCredentialDetail } from './vault-credential.ts';

export type { TokenAnswer } from './refresh-request.ts';

/** Posts a form to a token endpoint. */
export type AskTokenEndpoint = (
  organizationId: string,
  endpoint: URL,
  headers: Readonly<Record<string, string>>,
  form: URLSearchParams,
) => Promise<TokenAnswer>;

interface Held {
  version: number;
  token: string;
  expiresAtMs: number;
  /** The server refused to refresh, or asked for time: not asked again before. */
  notBeforeMs: number;
}

/** What the row says to somebody who wants to refresh. */
type Claim =
  | { kind: 'ours'; secret: Record<string, string>; refresh: NonNullable<OauthDetail['refresh']> }
  | { kind: 'known'; held: Held }
  /** Another process asks just now. */
  | { kind: 'busy' };

const aheadMs = 120_000;
const failedWaitMs = 30_000;
const maxHeld = 1_000;
/** A request to a token endpoint is over long before this: whoever began one and is not done has died over it. */
const unknownAfterMs = 90_000;
const pollMs = 100;
const maxPollMs = 20_000;
const storeTries = 5;

/**
 * Access tokens of `mcp_oauth` credentials: refreshed ahead of their end and when an upstream refuses one, by one
 * request for all who wait in all processes. Who asks writes that down first. A process that dies between the answer
 * and its storing leaves that behind: the refresh token may be spent, so it is not sent again, and the credential says
 * that it must be entered anew.
 */
export class VaultTokens {
  readonly #database: Database;
  readonly #rootKeys: RootKeys;
  readonly #ask: AskTokenEndpoint;
  readonly #now: () => number;
  readonly #by = randomUUID();
  readonly #held = new Map<string, Held>();
  readonly #refreshing = new Map<string, Promise<Held>>();

  constructor(database: Database, rootKeys: RootKeys, ask: AskTokenEndpoint, now: () => number) {
    this.#database = database;
    this.#rootKeys = rootKeys;
    this.#ask = ask;
    this.#now = now;
  }

  /** The token to use. `stale` is one that an upstream just refused. Rejects with a CredentialError. */
  async get(organizationId: string, credential: VaultCredential, stale?: string): Promise<string> {
    const { id, version, detail } = credential;
    let held = this.#held.get(id);
    if (!held || held.version < version) {
      held = await this.#open(organizationId, credential);
      this.#keep(id, held);
    }
    const isOld = held.token === stale || held.expiresAtMs - aheadMs <= this.#now();
    if (!isOld || !detail.oauth?.refresh || held.notBeforeMs > this.#now()) return held.token;
    let refreshing = this.#refreshing.get(id);
    if (!refreshing) {
      refreshing = this.#refresh(organizationId, id, held).finally(() => this.#refreshing.delete(id));
      this.#refreshing.set(id, refreshing);
    }
    return (await refreshing).token;
  }

  async #refresh(organizationId: string, id: string, seen: Held): Promise<Held> {
    let next: Held;
    try {
      next = await this.#refreshOnce(organizationId, id, seen);
    } catch (error) {
      if (error instanceof CredentialError && error.code === 'missing') throw error;
      // Asked again later, not by every request; until then the old token may still do.
      next = { ...seen, notBeforeMs: this.#now() + failedWaitMs };
    }
    this.#keep(id, next);
    return next;
  }

  async #refreshOnce(organizationId: string, id: string, seen: Held): Promise<Held> {
    for (let waited = 0; ; waited += pollMs) {
      const claim = await withOrganization(this.#database, organizationId, (tx) =>
        this.#claim(tx, organizationId, id, seen),
      );
      if (claim.kind === 'known') return claim.held;
      if (claim.kind === 'ours') {
        const outcome = await this.#send(organizationId, claim.refresh, claim.secret);
        return this.#settle(organizationId, id, seen, claim.secret, outcome);
      }
      if (waited >= maxPollMs) return { ...seen, notBeforeMs: this.#now() + pollMs };
      await sleep(pollMs);
    }
  }

  async #claim(tx: Transaction, organizationId: string, id: string, seen: Held): Promise<Claim> {
    const [row] = await tx.select().from(credentials).where(eq(credentials.id, id)).for('update');
    if (!row || row.archivedAt) throw new CredentialError('missing', `The credential ${id} is gone.`);
    const detail = row.detail as unknown as VaultCredentialDetail;
    // Another process was first.
    if (row.version !== seen.version) {
      return { kind: 'known', held: await this.#open(organizationId, { ...row, detail }) };
    }
    const oauth = detail.oauth ?? {};
    const now = this.#now();
    if (!oauth.refresh || oauth.needsReauth) {
      return { kind: 'known', held: { ...seen, notBeforeMs: Number.POSITIVE_INFINITY } };
    }
    const notBeforeMs = Date.parse(oauth.notBefore ?? '');
    if (notBeforeMs > now) return { kind: 'known', held: { ...seen, notBeforeMs } };
    if (oauth.refreshing && now - Date.parse(oauth.refreshing.at) < unknownAfterMs) return { kind: 'busy' };
    if (oauth.refreshing) {
      await this.#write(tx, id, {
        ...oauth,
        refreshing: undefined,
        needsReauth: 'refresh_unknown',
        refused: `A process died on ${oauth.refreshing.at} while it refreshed this token: the refresh token may be spent, so it is not sent again.`,
      });
      return {
        kind: 'known',
        held: { ...seen, version: row.version + 1, notBeforeMs: Number.POSITIVE_INFINITY },
      };
    }
    const secret = await openCredential(this.#rootKeys, credentialBinding(organizationId, id), row.sealed);
    const refreshing = { by: this.#by, at: new Date(now).toISOString() };
    await tx
      .update(credentials)
      .set({ detail: withOauth({ ...oauth, refreshing }) })
      .where(eq(credentials.id, id));
    return { kind: 'ours', secret, refresh: oauth.refresh };
  }

  async #send(
    organizationId: string,
    refresh: NonNullable<OauthDetail['refresh']>,
    secret: Readonly<Record<string, string>>,
  ): Promise<RefreshOutcome> {
    const { headers, form } = refreshRequest(refresh, secret);
    try {
      const answer = await this.#ask(organizationId, new URL(refresh.tokenEndpoint), headers, form);
      return readRefresh(answer, this.#now());
    } catch {
      return { kind: 'later', waitMs: failedWaitMs };
    }
  }

  /** Stores what came of it, and takes the claim back. What was got is used even where it cannot be stored just now. */
  async #settle(
    organizationId: string,
    id: string,
    seen: Held,
    secret: Readonly<Record<string, string>>,
    outcome: RefreshOutcome,
  ): Promise<Held> {
    const held = afterRefresh(seen, outcome, this.#now());
    for (let attempt = 1; ; attempt++) {
      try {
        const stored = await withOrganization(this.#database, organizationId, (tx) =>
          this.#store(tx, organizationId, id, secret, outcome),
        );
        if (stored !== undefined) return { ...held, version: stored };
        break;
      } catch (error) {
        if (attempt >= storeTries) return outcome.kind === 'renewed' ? held : Promise.reject(error);
        await sleep(pollMs * 2 ** attempt);
      }
    }
    // Somebody entered another one meanwhile; that one counts.
    const [row] = await withOrganization(this.#database, organizationId, (tx) =>
      tx.select().from(credentials).where(eq(credentials.id, id)),
    );
    if (!row || row.archivedAt) throw new CredentialError('missing', `The credential ${id} is gone.`);
    return this.#open(organizationId, { ...row, detail: row.detail as unknown as VaultCredentialDetail });
  }

  /** The version that it has from then on; undefined when the claim is not ours any more. */
  async #store(
    tx: Transaction,
    organizationId: string,
    id: string,
    secret: Readonly<Record<string, string>>,
    outcome: RefreshOutcome,
  ): Promise<number | undefined> {
    const [row] = await tx.select().from(credentials).where(eq(credentials.id, id)).for('update');
    const oauth = (row?.detail as unknown as VaultCredentialDetail | undefined)?.oauth;
    if (!row || row.archivedAt || oauth?.refreshing?.by !== this.#by) return undefined;
    const { refreshing: _, notBefore: __, ...rest } = oauth;
    switch (outcome.kind) {
      case 'later': {
        const notBefore = new Date(this.#now() + outcome.waitMs).toISOString();
        await tx
          .update(credentials)
          .set({ detail: withOauth({ ...rest, notBefore }) })
          .where(eq(credentials.id, id));
        return row.version;
      }
      case 'refused':
        return this.#write(tx, id, { ...rest, needsReauth: 'refresh_refused', refused: outcome.reason });
      case 'renewed': {
        const { token, refreshToken, expiresAt, scope } = outcome;
        const renewed = {
          ...secret,
          access_token: token,
          ...(refreshToken ? { refresh_token: refreshToken } : {}),
        };
        const key = organizationPublicKey(writingKey(this.#rootKeys), organizationId);
        const sealed = await sealCredential(key, credentialBinding(organizationId, id), renewed);
        return this.#write(tx, id, { ...rest, expiresAt, grantedScope: scope ?? rest.grantedScope }, sealed);
      }
    }
  }

  async #write(
    tx: Transaction,
    id: string,
    oauth: OauthDetail,
    sealed?: string,
  ): Promise<number | undefined> {
    const [row] = await tx
      .update(credentials)
      .set({
        detail: withOauth(oauth),
        version: sql`${credentials.version} + 1`,
        updatedAt: new Date(this.#now()),
        ...(sealed === undefined ? {} : { sealed }),
      })
      .where(and(eq(credentials.id, id)))
      .returning({ version: credentials.version });
    return row?.version;
  }

  async #open(organizationId: string, { id, version, sealed, detail }: VaultCredential): Promise<Held> {
    const secret = await openCredential(this.#rootKeys, credentialBinding(organizationId, id), sealed);
    const { needsReauth, notBefore } = detail.oauth ?? {};
    const notBeforeMs = needsReauth ? Number.POSITIVE_INFINITY : Date.parse(notBefore ?? '') || 0;
    return { version, token: secret.access_token ?? '', expiresAtMs: endOf(detail.oauth ?? {}), notBeforeMs };
  }

  #keep(id: string, held: Held): void {
    keepNewest(this.#held, id, held, maxHeld);
  }
}

/** The detail with this part replaced, and the rest as it is by then. */
const withOauth = (oauth: OauthDetail) =>
  sql`jsonb_set(${credentials.detail}, '{oauth}', ${JSON.stringify(oauth)}::jsonb)`;

function afterRefresh(seen: Held, outcome: RefreshOutcome, nowMs: number): Held {
  switch (outcome.kind) {
    case 'renewed':
      return { ...seen, token: outcome.token, expiresAtMs: endOf(outcome), notBeforeMs: 0 };
    case 'refused':
      return { ...seen, notBeforeMs: Number.POSITIVE_INFINITY };
    case 'later':
      return { ...seen, notBeforeMs: nowMs + outcome.waitMs };
  }
}

function endOf({ expiresAt }: Pick<OauthDetail, 'expiresAt'>): number {
  const end = expiresAt === undefined ? Number.NaN : Date.parse(expiresAt);
  return Number.isFinite(end) ? end : Number.POSITIVE_INFINITY;
}
