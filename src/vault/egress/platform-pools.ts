import type { Readable } from 'node:stream';
import type { OpenCredential } from '../credential-store.ts';
import type { MintAnswer } from '../github-app.ts';
import { keepNewest } from '../keep-newest.ts';
import { retryAfterMs } from '../retry-after.ts';
import type { TokenAnswer } from '../vault-tokens.ts';
import { type AllowedHost, findAllowedHost } from './allowed-hosts.ts';
import { BodyBudget, readWhole } from './bodies.ts';
import type { Recorder } from './records.ts';
import { RefusedError, refuse } from './refusal.ts';
import { type PoolOptions, UpstreamPools } from './upstream-pools.ts';
import type { UpstreamMap } from './upstreams.ts';

const maxPrincipals = 256;
/** Of an answer that gives out a token. */
const maxAnswerBytes = 256 * 1024;
/** Of a whole call; who asks for a token leaves word that holds for longer than this (`refresh-claims.ts`). */
const maxCallMs = 30_000;

export interface PlatformPoolsOptions {
  network: PoolOptions;
  upstreams: UpstreamMap;
  /** Token endpoints are set by tenants, so they stay within it. */
  ceiling?: readonly AllowedHost[] | undefined;
  recorder: Recorder;
  now: () => number;
}

/** The connections of the platform's own calls, per publication, and the calls that mint tokens over them. */
export class PlatformPools {
  readonly #pools = new Map<string, UpstreamPools>();
  readonly #options: PlatformPoolsOptions;

  constructor(options: PlatformPoolsOptions) {
    this.#options = options;
  }

  for({ publicationId }: Pick<OpenCredential, 'publicationId'>): UpstreamPools {
    const pools = this.#pools.get(publicationId) ?? new UpstreamPools(this.#options.network);
    void keepNewest(this.#pools, publicationId, pools, maxPrincipals)?.destroy();
    return pools;
  }

  /** Asks GitHub for an installation token, and records that. Rejects with a RefusedError when it cannot be asked. */
  mint(credential: OpenCredential, path: string, jwt: string, body: object): Promise<MintAnswer> {
    return this.#ask(credential, 'platform:mint', 'api.github.com', path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${jwt}`,
        accept: 'application/vnd.github+json',
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    });
  }

  /** Asks a token endpoint to refresh, and records that. Rejects with a RefusedError when it cannot be asked. */
  refresh(
    credential: OpenCredential,
    host: string,
    path: string,
    form: Record<string, string>,
  ): Promise<MintAnswer> {
    return this.#ask(credential, 'platform:refresh', host, path, {
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form).toString(),
    });
  }

  /** Takes an installation token back, and records that. Rejects with a RefusedError when it cannot be asked. */
  async revoke(credential: OpenCredential, token: string): Promise<number> {
    const answer = await this.#ask(credential, 'platform:revoke', 'api.github.com', '/installation/token', {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}`, accept: 'application/vnd.github+json' },
      body: null,
    });
    return answer.status;
  }

  async #ask(
    credential: OpenCredential,
    rule: string,
    host: string,
    path: string,
    request: { method: 'POST' | 'DELETE'; headers: Record<string, string>; body: string | null },
  ): Promise<MintAnswer> {
    const { upstreams, recorder, now } = this.#options;
    const at = new Date(now());
    const route = upstreams.route(host, path, credential.emulated) ?? { kind: 'public' as const, host, path };
    const record = (status: number | null, decidedBy: string) =>
      recorder.add({
        organizationId: credential.organizationId,
        sessionId: null,
        installationId: credential.installationId,
        turnId: null,
        at,
        method: request.method,
        scheme: 'https',
        host,
        port: 443,
        path,
        status,
        bytesUp: 0,
        bytesDown: 0,
        durationMs: now() - at.getTime(),
        credential: credential.displayName,
        decision: status === null ? 'failed' : 'allowed',
        rule: decidedBy,
      });
    try {
      const answer = await this.for(credential)
        .client(route)
        .request({
          method: request.method,
          path: route.path,
          headers: { ...request.headers, 'user-agent': 'tagalong' },
          body: request.body,
          headersTimeout: 20_000,
          bodyTimeout: 20_000,
          signal: AbortSignal.timeout(maxCallMs),
        });
      const text = await textOf(answer.body);
      record(answer.statusCode, rule);
      return { status: answer.statusCode, body: parseJson(text) };
    } catch (error) {
      record(null, error instanceof RefusedError ? error.refusal.rule : 'upstream.broken');
      throw error;
    }
  }

  /** Asks a token endpoint that a tenant named: at a public address, under a right certificate, and recorded. */
  async askTokenEndpoint(
    organizationId: string,
    endpoint: URL,
    headers: Readonly<Record<string, string>>,
    form: URLSearchParams,
  ): Promise<TokenAnswer> {
    const { upstreams, ceiling, recorder, now } = this.#options;
    const at = new Date(now());
    const { hostname: host, pathname: path, search } = endpoint;
    const route = upstreams.route(host, path + search, false) ?? {
      kind: 'public' as const,
      host,
      path: path + search,
    };
    const record = (status: number | null, rule: string) =>
      recorder.add({
        ...{ organizationId, sessionId: null, installationId: null, turnId: null, at },
        ...{ method: 'POST', scheme: 'https', host, port: 443, path, status, bytesUp: 0, bytesDown: 0 },
        durationMs: now() - at.getTime(),
        credential: null,
        decision: status === null ? 'failed' : 'allowed',
        rule,
      });
    try {
      if (ceiling && !findAllowedHost(ceiling, host, 443, path)) {
        throw new RefusedError(refuse('host.ceiling', `${host}${path} is not in TAGALONG_ALLOWED_HOSTS.`));
      }
      const answer = await this.for({ publicationId: `oauth ${organizationId}` })
        .client(route)
        .request({
          method: 'POST',
          path: route.path,
          headers: {
            ...headers,
            accept: 'application/json',
            'content-type': 'application/x-www-form-urlencoded',
            'user-agent': 'tagalong',
          },
          body: form.toString(),
          headersTimeout: 15_000,
          bodyTimeout: 15_000,
          signal: AbortSignal.timeout(maxCallMs),
        });
      const body = parseJson(await textOf(answer.body));
      record(answer.statusCode, 'vault:refresh');
      const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
      return {
        status: answer.statusCode,
        body: isObject ? (body as Record<string, unknown>) : undefined,
        retryAfterMs: retryAfterMs(answer.headers['retry-after'], now()),
      };
    } catch (error) {
      record(null, error instanceof RefusedError ? error.refusal.rule : 'upstream.broken');
      throw error;
    }
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pools) => pools.destroy()));
    this.#pools.clear();
  }
}

/** Rejects with a RefusedError when it is larger than such an answer is, or breaks off. */
async function textOf(body: Readable): Promise<string> {
  return (await readWhole(body, maxAnswerBytes, new BodyBudget(maxAnswerBytes))).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
