import { createPrivateKey } from 'node:crypto';
import { SignJWT } from 'jose';
import { CredentialError, type OpenCredential } from './credential-store.ts';

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

/**
 * Installation tokens, in memory only: one per credential version and set of repositories, minted once for all who
 * wait, and renewed five minutes before the end.
 */
export class InstallationTokens {
  readonly #tokens = new Map<string, Promise<Token>>();
  readonly #mint: Mint;
  readonly #now: () => number;

  constructor(mint: Mint, now: () => number = Date.now) {
    this.#mint = mint;
    this.#now = now;
  }

  /**
   * A token for the whole installation, or for these repositories (`owner/repo`) only. `stale` is one that GitHub
   * just refused. Rejects with a TokenError or a CredentialError.
   */
  async get(
    credential: OpenCredential,
    repositories: readonly string[] | undefined,
    stale?: string,
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
      const token = await known.catch(() => undefined);
      if (token && token.renewAt > this.#now() && token.value !== stale) return token.value;
      // Only the first who finds it old mints; the others wait for what that one put in its place.
      if (this.#tokens.get(key) === known) this.#tokens.delete(key);
    }
    let waiting = this.#tokens.get(key);
    if (!waiting) {
      waiting = this.#request(credential, names);
      this.#tokens.set(key, waiting);
      waiting.catch(() => this.#tokens.delete(key));
      if (this.#tokens.size > maxTokens) {
        const [oldest] = this.#tokens.keys();
        if (oldest !== undefined) this.#tokens.delete(oldest);
      }
    }
    return (await waiting).value;
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
