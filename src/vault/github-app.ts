import { createPrivateKey } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { CredentialError, type OpenCredential } from './credential-store.ts';
import { keepNewest } from './keep-newest.ts';

/**
 * Signs as the App. GitHub wants `iat` in the past by its own clock and refuses `exp` beyond ten minutes
 * (docs.github.com, "Generating a JSON web token for a GitHub App"). Takes PKCS#1 and PKCS#8 keys. Rejects with a
 * CredentialError `unreadable` when the key is none.
 */
export async function appJwt(credential: OpenCredential, nowMs: number): Promise<string> {
  const { app_id: appId, private_key: pem } = credential.secret;
  if (!appId || !pem) throw unreadable(credential, 'it lacks `app_id` or `private_key`');
  let key: ReturnType<typeof createPrivateKey>;
  try {
    key = createPrivateKey(pem.replaceAll('\\n', '\n'));
  } catch {
    throw unreadable(credential, '`private_key` is no PEM private key');
  }
  if (key.asymmetricKeyType !== 'rsa') throw unreadable(credential, '`private_key` is no RSA key');
  const now = Math.floor(nowMs / 1_000);
  return new SignJWT()
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT' })
    .setIssuer(appId)
    .setIssuedAt(now - 60)
    .setExpirationTime(now + 9 * 60)
    .sign(key);
}

const unreadable = (credential: OpenCredential, why: string) =>
  new CredentialError('unreadable', `The GitHub App credential ${credential.id} cannot be used: ${why}.`);

/** Endpoints that take the App's own signature instead of an installation's token. */
export function wantsAppJwt(path: string): boolean {
  return (
    path === '/app' ||
    path.startsWith('/app/') ||
    /^\/(?:repos\/[^/]+\/[^/]+|orgs\/[^/]+|users\/[^/]+)\/installation$/.test(path)
  );
}

/** What GitHub answers to a minting call. */
export interface MintAnswer {
  status: number;
  /** Parsed; undefined when it was no JSON. */
  body: unknown;
}

/** Sends one minting call: `POST path` with this JSON body and this JWT. */
export type Mint = (
  credential: OpenCredential,
  path: string,
  jwt: string,
  body: object,
) => Promise<MintAnswer>;

/** Takes a token back: `DELETE /installation/token`, with it. Answers the status. */
export type Revoke = (credential: OpenCredential, token: string) => Promise<number>;

/** GitHub did not give a token. `narrowing`: it will not give one for just these repositories. */
export class TokenError extends Error {
  override name = 'TokenError';
  readonly code: 'narrowing' | 'refused' | 'unavailable';
  readonly status: number;
  constructor(code: TokenError['code'], status: number, message: string) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

interface Token {
  value: string;
  /** When it is minted anew, ms. */
  renewAt: number;
}

const renewBeforeMs = 5 * 60_000;
const maxTokens = 1_000;
/** Between the tries to take a token back. */
const revokePausesMs = [500, 4_000];

interface Entry {
  credential: OpenCredential;
  token: Promise<Token>;
  /** Whose it is; nobody's in particular when it is for the whole installation. */
  sessions: Set<string>;
}

/**
 * Installation tokens, in memory only: one per credential version and set of repositories, minted once for all who
 * wait, renewed five minutes before the end, and taken back when the last session that had it has ended.
 */
export class InstallationTokens {
  readonly #tokens = new Map<string, Entry>();
  readonly #revoking = new Set<Promise<void>>();
  readonly #mint: Mint;
  readonly #revoke: Revoke | undefined;
  readonly #now: () => number;

  constructor(mint: Mint, now: () => number = Date.now, revoke?: Revoke) {
    this.#mint = mint;
    this.#now = now;
    this.#revoke = revoke;
  }

  /**
   * A token for the whole installation, or for these repositories (`owner/repo`) only. `stale` is one that GitHub
   * just refused; `sessionId` says for whom it is. Rejects with a TokenError or a CredentialError.
   */
  async get(
    credential: OpenCredential,
    repositories: readonly string[] | undefined,
    stale?: string,
    sessionId?: string,
  ): Promise<string> {
    const names = repositories?.map((repository) => repository.split('/')[1] ?? '').sort();
    const key = JSON.stringify([
      credential.id,
      credential.version,
      installationIdOf(credential),
      names ?? null,
    ]);
    const known = this.#tokens.get(key);
    if (known) {
      if (sessionId !== undefined) known.sessions.add(sessionId);
      const token = await known.token.catch(() => undefined);
      if (token && token.renewAt > this.#now() && token.value !== stale) return token.value;
      // Only the first who finds it old mints; the others wait for what that one put in its place.
      if (this.#tokens.get(key) === known) this.#tokens.delete(key);
    }
    let waiting = this.#tokens.get(key);
    if (!waiting) {
      const entry = { credential, token: this.#request(credential, names), sessions: new Set<string>() };
      for (const each of known?.sessions ?? []) entry.sessions.add(each);
      keepNewest(this.#tokens, key, entry, maxTokens);
      entry.token.catch(() => {
        if (this.#tokens.get(key) === entry) this.#tokens.delete(key);
      });
      waiting = entry;
    }
    if (sessionId !== undefined) waiting.sessions.add(sessionId);
    return (await waiting.token).value;
  }

  /** A session has ended: tokens that only it had are taken back, in the background. What fails ends within the hour. */
  release(sessionId: string): void {
    for (const [key, entry] of this.#tokens) {
      if (!entry.sessions.delete(sessionId) || entry.sessions.size > 0) continue;
      this.#tokens.delete(key);
      const revoking = this.#takeBack(entry).finally(() => this.#revoking.delete(revoking));
      this.#revoking.add(revoking);
    }
  }

  /** Resolves when nothing is being taken back any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#revoking);
  }

  async #takeBack({ credential, token }: Entry): Promise<void> {
    const value = (await token.catch(() => undefined))?.value;
    if (value === undefined || !this.#revoke) return;
    for (const pauseMs of [...revokePausesMs, undefined]) {
      const status = await this.#revoke(credential, value).catch(() => 503);
      // Any other answer says that it is gone, or that it will say the same again.
      if ((status < 500 && status !== 429) || pauseMs === undefined) return;
      await sleep(pauseMs, undefined, { ref: false });
    }
  }

  async #request(credential: OpenCredential, names: string[] | undefined): Promise<Token> {
    const path = `/app/installations/${encodeURIComponent(installationIdOf(credential))}/access_tokens`;
    const jwt = await appJwt(credential, this.#now());
    const { status, body } = await this.#mint(credential, path, jwt, names ? { repositories: names } : {});
    const answer = (body ?? {}) as { token?: unknown; expires_at?: unknown };
    if (status === 201 && typeof answer.token === 'string') {
      const end = Date.parse(String(answer.expires_at));
      const endsAt = Number.isFinite(end) ? end : this.#now() + 3_600_000;
      return { value: answer.token, renewAt: endsAt - renewBeforeMs };
    }
    if (names && (status === 422 || status === 404)) {
      throw new TokenError(
        'narrowing',
        status,
        `GitHub gives no token for just ${names.join(', ')}: the App is not installed there, or the repository was renamed.`,
      );
    }
    throw new TokenError(
      status === 429 || status >= 500 ? 'unavailable' : 'refused',
      status,
      `GitHub answered ${status} when a token was asked for.`,
    );
  }
}

/** Whether it is known yet where the App is installed. */
export function hasInstallation(credential: OpenCredential): boolean {
  return Boolean(credential.detail.installation_id ?? credential.workspaceId);
}

function installationIdOf(credential: OpenCredential): string {
  const id = credential.detail.installation_id ?? credential.workspaceId;
  if (id === undefined || id === null || id === '') {
    throw unreadable(credential, 'its installation id is not known');
  }
  return String(id);
}
