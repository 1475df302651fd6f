import { buffer } from 'node:stream/consumers';
import type { OpenCredential } from '../credential-store.ts';
import type { MintAnswer } from '../github-app.ts';
import type { Recorder } from './records.ts';
import { RefusedError } from './refusal.ts';
import { type PoolOptions, UpstreamPools } from './upstream-pools.ts';
import type { UpstreamMap } from './upstreams.ts';

const maxPrincipals = 256;

export interface PlatformPoolsOptions {
  network: PoolOptions;
  upstreams: UpstreamMap;
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
    this.#pools.delete(publicationId);
    this.#pools.set(publicationId, pools);
    if (this.#pools.size > maxPrincipals) {
      const [oldest] = this.#pools;
      if (oldest) {
        this.#pools.delete(oldest[0]);
        void oldest[1].destroy();
      }
    }
    return pools;
  }

  /** Asks GitHub for an installation token, and records that. Rejects with a RefusedError when it cannot be asked. */
  async mint(credential: OpenCredential, path: string, jwt: string, body: object): Promise<MintAnswer> {
    const { upstreams, recorder, now } = this.#options;
    const at = new Date(now());
    const host = 'api.github.com';
    const route = upstreams.route(host, path, credential.emulated) ?? { kind: 'public' as const, host, path };
    const record = (status: number | null, rule: string) =>
      recorder.add({
        organizationId: credential.organizationId,
        sessionId: null,
        installationId: credential.installationId,
        turnId: null,
        at,
        method: 'POST',
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
        rule,
      });
    try {
      const answer = await this.for(credential)
        .for(route)
        .request({
          method: 'POST',
          path: route.path,
          headers: {
            authorization: `Bearer ${jwt}`,
            accept: 'application/vnd.github+json',
            'content-type': 'application/json',
            'user-agent': 'tagalong',
          },
          body: JSON.stringify(body),
          headersTimeout: 20_000,
          bodyTimeout: 20_000,
        });
      const text = (await buffer(answer.body)).toString('utf8');
      record(answer.statusCode, 'platform:mint');
      return { status: answer.statusCode, body: parseJson(text) };
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
