import { setTimeout as sleep } from 'node:timers/promises';
import { eq } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { credentials } from '../store/schema.ts';
import { CredentialError } from './credential-store.ts';
import { keepNewest } from './keep-newest.ts';
import { organizationPublicKey, type RootKeys, writingKey } from './keys.ts';
import type { RefreshClaims, RefreshResult } from './refresh-claims.ts';
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

const aheadMs = 120_000;
const failedWaitMs = 30_000;
const maxHeld = 1_000;
const pollMs = 100;
/** How long to wait for a process that asks: not for long, and not with every request, while the token still lives. */
const maxPollMs = 20_000;
const maxPollAliveMs = 2_000;
const pollAliveAgainMs = 10_000;

/**
 * Access tokens of `mcp_oauth` credentials: refreshed ahead of their end and when an upstream refuses one, by one
 * request for all who wait in all processes.
 */
export class VaultTokens {
  readonly #database: Database;
  readonly #rootKeys: RootKeys;
  readonly #claims: RefreshClaims;
  readonly #ask: AskTokenEndpoint;
  readonly #now: () => number;
  readonly #held = new Map<string, Held>();
  readonly #refreshing = new Map<string, Promise<Held>>();

  constructor(
    database: Database,
    rootKeys: RootKeys,
    claims: RefreshClaims,
    ask: AskTokenEndpoint,
    now: () => number,
  ) {
    this.#database = database;
    this.#rootKeys = rootKeys;
    this.#claims = claims;
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
      const isAlive = held.token !== stale && held.expiresAtMs > this.#now();
      refreshing = this.#refresh(organizationId, id, held, isAlive).finally(() =>
        this.#refreshing.delete(id),
      );
      this.#refreshing.set(id, refreshing);
    }
    return (await refreshing).token;
  }

  async #refresh(organizationId: string, id: string, seen: Held, isAlive: boolean): Promise<Held> {
    let next: Held;
    try {
      next = await this.#refreshOnce(organizationId, id, seen, isAlive);
    } catch (error) {
      if (error instanceof CredentialError && error.code === 'missing') throw error;
      // Asked again later, not by every request; until then the old token may still do.
      next = { ...seen, notBeforeMs: this.#now() + failedWaitMs };
    }
    this.#keep(id, next);
    return next;
  }

  async #refreshOnce(organizationId: string, id: string, seen: Held, isAlive: boolean): Promise<Held> {
    for (let waited = 0; ; waited += pollMs) {
      const claim = await this.#claims.claim(
        organizationId,
        { id, version: seen.version },
        async (row, oauth) => {
          const { refresh } = oauth;
          const binding = credentialBinding(organizationId, id);
          return refresh && { refresh, secret: await openCredential(this.#rootKeys, binding, row.sealed) };
        },
      );
      switch (claim.kind) {
        case 'ours': {
          const { refresh, secret } = claim.needed;
          const outcome = await this.#send(organizationId, refresh, secret);
          return this.#settle(organizationId, id, seen, secret, outcome);
        }
        case 'newer':
          return this.#open(organizationId, detailed(claim.row));
        case 'over':
          return { ...seen, version: claim.version, notBeforeMs: Number.POSITIVE_INFINITY };
        case 'later':
          return { ...seen, notBeforeMs: claim.notBeforeMs };
      }
      if (waited >= (isAlive ? maxPollAliveMs : maxPollMs)) {
        return { ...seen, notBeforeMs: this.#now() + (isAlive ? pollAliveAgainMs : pollMs) };
      }
      await sleep(pollMs);
    }
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
    const sealed = await this.#sealed(organizationId, id, secret, outcome);
    let stored: number | undefined;
    try {
      stored = await this.#claims.settle(organizationId, id, (rest) => this.#result(rest, outcome, sealed));
    } catch (error) {
      if (outcome.kind === 'renewed') return held;
      throw error;
    }
    if (stored !== undefined) return { ...held, version: stored };
    // Somebody entered another one meanwhile; that one counts.
    const [row] = await withOrganization(this.#database, organizationId, (tx) =>
      tx.select().from(credentials).where(eq(credentials.id, id)),
    );
    if (!row || row.archivedAt) throw new CredentialError('missing', `The credential ${id} is gone.`);
    return this.#open(organizationId, detailed(row));
  }

  async #sealed(
    organizationId: string,
    id: string,
    secret: Readonly<Record<string, string>>,
    outcome: RefreshOutcome,
  ): Promise<string> {
    if (outcome.kind !== 'renewed') return '';
    const { token, refreshToken } = outcome;
    const renewed = {
      ...secret,
      access_token: token,
      ...(refreshToken ? { refresh_token: refreshToken } : {}),
    };
    const key = organizationPublicKey(writingKey(this.#rootKeys), organizationId);
    return sealCredential(key, credentialBinding(organizationId, id), renewed);
  }

  #result(rest: OauthDetail, outcome: RefreshOutcome, sealed: string): RefreshResult {
    switch (outcome.kind) {
      case 'later': {
        const notBefore = new Date(this.#now() + outcome.waitMs).toISOString();
        return { oauth: { ...rest, notBefore }, isNew: false };
      }
      case 'refused': {
        const oauth: OauthDetail = { ...rest, needsReauth: 'refresh_refused', refused: outcome.reason };
        return { oauth, isNew: true };
      }
      case 'renewed': {
        const { expiresAt, scope } = outcome;
        const oauth = { ...rest, expiresAt, grantedScope: scope ?? rest.grantedScope };
        return { oauth, sealed, isNew: true };
      }
    }
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

function detailed(row: typeof credentials.$inferSelect): VaultCredential {
  return { ...row, detail: row.detail as unknown as VaultCredentialDetail };
}

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
