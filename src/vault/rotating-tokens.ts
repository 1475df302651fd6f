import { setTimeout as sleep } from 'node:timers/promises';
import { CredentialError, type CredentialStore, type OpenCredential } from './credential-store.ts';
import { TokenError } from './github-app.ts';
import { keepNewest } from './keep-newest.ts';
import type { RefreshClaims } from './refresh-claims.ts';
import { maxLifeSeconds } from './refresh-request.ts';
import { TimedCache } from './timed-cache.ts';

/** Sends one refreshing call: a form to the provider's token endpoint. */
export type PostForm = (
  credential: OpenCredential,
  host: string,
  path: string,
  form: Record<string, string>,
) => Promise<{ status: number; body: unknown }>;

/** Told, and waited for, when a provider refuses to refresh the newest token of a credential. */
export type OnRefused = (credential: OpenCredential, message: string) => Promise<void>;

/** Where a kind of token is refreshed, and under which names its answer and its secret have it. */
const endpoints = {
  linear_app: { host: 'api.linear.app', path: '/oauth/token', field: 'access_token' },
  slack_bot: { host: 'slack.com', path: '/api/oauth.v2.access', field: 'token' },
} as const;

const words = { linear_app: 'Linear', slack_bot: 'Slack' } as const;
const renewBeforeMs = 5 * 60_000;
const maxRemembered = 1_000;
/** When to look for what another process stored, each after the one before. */
const storedByAnotherMs = [0, 200, 600];
const pollMs = 100;
/** How long to wait for a process that asks: longer once the token is of no use any more. */
const maxWaitMs = 20_000;
const maxWaitAliveMs = 2_000;
/** A refusal is the answer for so long, so that not every request asks again. */
const refusedTtlMs = 60_000;

interface Remembered {
  version: number;
  token: string;
  expiresAtMs: number;
}

/**
 * Access tokens that end and are refreshed (Linear's, and Slack's where rotation is on): ahead of their end, once for
 * all who wait in all processes. Refresh tokens work once: what was got is stored before it is used, and one that a
 * process may have spent before it died is not sent again.
 */
export class RotatingTokens {
  readonly #credentials: CredentialStore;
  readonly #claims: RefreshClaims;
  readonly #post: PostForm;
  readonly #now: () => number;
  readonly #onRefused: OnRefused;
  /** By credential and version. */
  readonly #refused: TimedCache<TokenError>;
  readonly #refreshing = new Map<string, Promise<Remembered>>();
  readonly #known = new Map<string, Remembered>();

  constructor(
    credentials: CredentialStore,
    claims: RefreshClaims,
    post: PostForm,
    now: () => number = Date.now,
    onRefused: OnRefused = async () => {},
  ) {
    this.#credentials = credentials;
    this.#claims = claims;
    this.#post = post;
    this.#now = now;
    this.#onRefused = onRefused;
    this.#refused = new TimedCache(refusedTtlMs, maxRemembered, now);
  }

  /** The token of a credential. Rejects with a TokenError when the provider refuses to refresh it. */
  async get(credential: OpenCredential, kind: keyof typeof endpoints): Promise<string> {
    const current = this.#current(credential, kind);
    if (!credential.secret.refresh_token || current.expiresAtMs > this.#now() + renewBeforeMs)
      return current.token;
    let refreshing = this.#refreshing.get(credential.id);
    if (!refreshing) {
      refreshing = this.#refresh(credential, kind).finally(() => this.#refreshing.delete(credential.id));
      this.#refreshing.set(credential.id, refreshing);
    }
    return (await refreshing).token;
  }

  /** The newest of what was read and what was refreshed here since. */
  #current(credential: OpenCredential, kind: keyof typeof endpoints): Remembered {
    const read = remembered(credential, kind);
    const known = this.#known.get(credential.id);
    return known && known.version > read.version ? known : read;
  }

  async #refresh(stale: OpenCredential, kind: keyof typeof endpoints): Promise<Remembered> {
    for (let waitedMs = 0; ; waitedMs += pollMs) {
      const credential = await this.#credentials.readAnew(stale);
      const read = remembered(credential, kind);
      if (read.expiresAtMs > this.#now() + renewBeforeMs) return this.#remember(credential.id, read);
      const refusal = this.#refused.peek(`${credential.id} ${credential.version}`);
      if (refusal) throw await refusal;
      const { organizationId, publicationId } = credential;
      const client = await this.#credentials.find(organizationId, publicationId, 'client');
      const claim = await this.#claims.claim(organizationId, credential, () => client.secret);
      switch (claim.kind) {
        case 'ours':
          return this.#ask(credential, kind, claim.needed);
        case 'newer':
          continue;
        case 'over': {
          const message = `${words[kind]}: ${claim.reason ?? 'The token cannot be refreshed.'} Install the app again.`;
          return this.#refuse({ ...credential, version: claim.version }, 0, message);
        }
      }
      // While another process asks, the old token may still do.
      const isAlive = read.expiresAtMs > this.#now();
      if (waitedMs >= (isAlive ? maxWaitAliveMs : maxWaitMs)) {
        if (isAlive) return read;
        throw new TokenError('unavailable', 503, 'The token is being refreshed. Try again.');
      }
      await sleep(pollMs);
    }
  }

  async #ask(
    credential: OpenCredential,
    kind: keyof typeof endpoints,
    client: Readonly<Record<string, string>>,
  ): Promise<Remembered> {
    const { organizationId, id } = credential;
    const { host, path, field } = endpoints[kind];
    const giveBack = () => this.#claims.settle(organizationId, id, (oauth) => ({ oauth, isNew: false }));
    const { status, body } = await this.#post(credential, host, path, {
      grant_type: 'refresh_token',
      refresh_token: credential.secret.refresh_token ?? '',
      client_id: client.client_id ?? '',
      client_secret: client.client_secret ?? '',
    }).catch(async (error: unknown) => {
      await giveBack();
      throw error;
    });
    const answer = (body ?? {}) as Record<string, unknown>;
    const { access_token: token, refresh_token: refresh, expires_in: seconds } = answer;
    if (status >= 500 || status === 429) {
      await giveBack();
      throw new TokenError('unavailable', status, `${host} answered ${status} when a token was refreshed.`);
    }
    if (status !== 200 || typeof token !== 'string') {
      await giveBack();
      const newer = await this.#storedByAnother(credential, kind);
      if (newer) return this.#remember(id, newer);
      const said = typeof answer.error === 'string' ? answer.error : String(status);
      return this.#refuse(
        credential,
        status,
        `${host} refused to refresh the token (${said}). Install the app again.`,
      );
    }
    const lifeSeconds = typeof seconds === 'number' ? Math.min(seconds, maxLifeSeconds) : 3_600;
    const expiresAtMs = this.#now() + lifeSeconds * 1000;
    const secret = {
      ...credential.secret,
      [field]: token,
      ...(typeof refresh === 'string' ? { refresh_token: refresh } : {}),
    };
    const sealed = await this.#credentials.seal(credential, secret);
    const detail = { expires_at: new Date(expiresAtMs).toISOString() };
    const stored = await this.#claims
      .settle(organizationId, id, (oauth) => ({ oauth, detail, sealed, isNew: true }))
      // It cannot be stored just now: it is used here all the same, until the row says something else.
      .catch(() => credential.version + 1);
    if (stored !== undefined) return this.#remember(id, { version: stored, token, expiresAtMs });
    // Somebody stored another one meanwhile; that is the one that counts.
    return this.#remember(id, remembered(await this.#credentials.readAnew(credential), kind));
  }

  /** Says so on the publication, and for a while to all who ask, without asking anybody again. */
  async #refuse(credential: OpenCredential, status: number, message: string): Promise<never> {
    await this.#onRefused(credential, message);
    const refused = new TokenError('refused', status, message);
    throw await this.#refused.get(`${credential.id} ${credential.version}`, async () => refused);
  }

  /** A refresh token works once: another process may have used it up, and is about to store what it got. */
  async #storedByAnother(
    credential: OpenCredential,
    kind: keyof typeof endpoints,
  ): Promise<Remembered | undefined> {
    for (const delayMs of storedByAnotherMs) {
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      const newer = remembered(await this.#credentials.readAnew(credential), kind);
      if (newer.version > credential.version) return newer;
    }
    return undefined;
  }

  #remember(id: string, token: Remembered): Remembered {
    keepNewest(this.#known, id, token, maxRemembered);
    return token;
  }
}

function remembered(credential: OpenCredential, kind: keyof typeof endpoints): Remembered {
  const token = credential.secret[endpoints[kind].field];
  if (!token) throw new CredentialError('unreadable', `The credential ${credential.id} holds no token.`);
  const end = Date.parse(String(credential.detail.expires_at));
  return {
    version: credential.version,
    token,
    expiresAtMs: Number.isFinite(end) ? end : Number.POSITIVE_INFINITY,
  };
}
