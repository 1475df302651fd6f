import { and, eq, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { credentials } from '../store/schema.ts';
import { CredentialError } from './credential-store.ts';
import { organizationPublicKey } from './keys.ts';
import { credentialBinding, openCredential, sealCredential } from './seal.ts';
import type { OauthDetail, VaultCredential, VaultCredentialDetail } from './vault-credential.ts';

/** What a token endpoint answered; `body` is undefined when it was no JSON object. */
export interface TokenAnswer {
  status: number;
  body: Record<string, unknown> | undefined;
}

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
  /** Under which version the server refused to refresh, or could not: not asked again before this time. */
  notBeforeMs: number;
}

const aheadMs = 120_000;
const backoffMs = 30_000;
const maxHeld = 1_000;

/**
 * Access tokens of `mcp_oauth` credentials: refreshed ahead of their end and when an upstream refuses one, by one
 * request for all who wait in all processes. A lock in the database lets one ask; the others read what it stored.
 */
export class VaultTokens {
  readonly #database: Database;
  readonly #rootKey: Uint8Array;
  readonly #ask: AskTokenEndpoint;
  readonly #now: () => number;
  readonly #held = new Map<string, Held>();
  readonly #refreshing = new Map<string, Promise<Held>>();

  constructor(database: Database, rootKey: Uint8Array, ask: AskTokenEndpoint, now: () => number) {
    this.#database = database;
    this.#rootKey = rootKey;
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
      next = await withOrganization(this.#database, organizationId, (tx) =>
        this.#refreshLocked(tx, organizationId, id, seen),
      );
    } catch (error) {
      if (error instanceof CredentialError && error.code === 'missing') throw error;
      // Asked again later, not by every request; until then the old token may still do.
      next = { ...seen, notBeforeMs: this.#now() + backoffMs };
    }
    this.#keep(id, next);
    return next;
  }

  async #refreshLocked(tx: Transaction, organizationId: string, id: string, seen: Held): Promise<Held> {
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`oauth ${id}`}, 0))`);
    const [row] = await tx.select().from(credentials).where(eq(credentials.id, id));
    if (!row || row.archivedAt) throw new CredentialError('missing', `The credential ${id} is gone.`);
    const detail = row.detail as unknown as VaultCredentialDetail;
    const current: VaultCredential = { ...row, detail };
    // Another process was first.
    if (row.version !== seen.version) return this.#open(organizationId, current);
    const refresh = detail.oauth?.refresh;
    if (!refresh || detail.oauth?.refused) return { ...seen, notBeforeMs: Number.POSITIVE_INFINITY };
    const binding = credentialBinding(organizationId, id);
    const secret = await openCredential(this.#rootKey, binding, row.sealed);
    const { headers, form } = refreshRequest(refresh, secret);
    const { status, body } = await this.#ask(organizationId, new URL(refresh.tokenEndpoint), headers, form);
    const token = body?.access_token;
    const store = (changes: { detail: VaultCredentialDetail; sealed?: string }) =>
      tx
        .update(credentials)
        .set({
          ...(changes as { detail: unknown } as { detail: Record<string, unknown> }),
          version: row.version + 1,
          updatedAt: new Date(this.#now()),
        })
        .where(and(eq(credentials.id, id), eq(credentials.version, row.version)));
    if (status !== 200 || typeof token !== 'string' || token === '') {
      if (status === 429 || status >= 500 || status < 400) {
        throw new CredentialError('unavailable', `The token endpoint answered ${status}.`);
      }
      const refused = `The token endpoint answered ${status} on ${new Date(this.#now()).toISOString()}.`;
      await store({ detail: { ...detail, oauth: { ...detail.oauth, refused } } });
      return { ...seen, version: row.version + 1, notBeforeMs: Number.POSITIVE_INFINITY };
    }
    const seconds = Number(body?.expires_in);
    const expiresAt = seconds > 0 ? new Date(this.#now() + seconds * 1_000).toISOString() : undefined;
    // A server that rotates gives a new one; one that does not lets the old one live.
    const refreshToken = typeof body?.refresh_token === 'string' ? body.refresh_token : secret.refresh_token;
    const renewed = {
      ...secret,
      access_token: token,
      ...(refreshToken ? { refresh_token: refreshToken } : {}),
    };
    const key = organizationPublicKey(this.#rootKey, organizationId);
    await store({
      detail: { ...detail, oauth: { ...detail.oauth, expiresAt } },
      sealed: await sealCredential(key, binding, renewed),
    });
    return { version: row.version + 1, token, expiresAtMs: endOf({ expiresAt }), notBeforeMs: 0 };
  }

  async #open(organizationId: string, { id, version, sealed, detail }: VaultCredential): Promise<Held> {
    const secret = await openCredential(this.#rootKey, credentialBinding(organizationId, id), sealed);
    const notBeforeMs = detail.oauth?.refused ? Number.POSITIVE_INFINITY : 0;
    return { version, token: secret.access_token ?? '', expiresAtMs: endOf(detail.oauth ?? {}), notBeforeMs };
  }

  #keep(id: string, held: Held): void {
    this.#held.delete(id);
    this.#held.set(id, held);
    if (this.#held.size > maxHeld) {
      const [oldest] = this.#held.keys();
      if (oldest !== undefined) this.#held.delete(oldest);
    }
  }
}

function endOf({ expiresAt }: OauthDetail): number {
  const end = expiresAt === undefined ? Number.NaN : Date.parse(expiresAt);
  return Number.isFinite(end) ? end : Number.POSITIVE_INFINITY;
}

/** RFC 6749, sections 2.3.1 and 6; RFC 8707 for `resource`. */
function refreshRequest(
  refresh: NonNullable<OauthDetail['refresh']>,
  secret: Readonly<Record<string, string>>,
): { headers: Record<string, string>; form: URLSearchParams } {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: secret.refresh_token ?? '',
    ...(refresh.resource ? { resource: refresh.resource } : {}),
    ...(refresh.scope ? { scope: refresh.scope } : {}),
  });
  const headers: Record<string, string> = {};
  if (refresh.authentication === 'client_secret_basic') {
    const pair = [refresh.clientId, secret.client_secret ?? ''].map(formEncoded).join(':');
    headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
  } else {
    form.set('client_id', refresh.clientId);
    if (refresh.authentication === 'client_secret_post')
      form.set('client_secret', secret.client_secret ?? '');
  }
  return { headers, form };
}

const formEncoded = (value: string): string => new URLSearchParams({ v: value }).toString().slice(2);
