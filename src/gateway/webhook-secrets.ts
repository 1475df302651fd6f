import type { Pool } from 'pg';
import { readWebhookDoor } from '../store/inbox.ts';
import type { ProviderName } from '../store/schema.ts';
import { TimedCache } from '../vault/timed-cache.ts';
import type { GatewaySecrets } from './secrets.ts';
import { webhookSecretBinding } from './secrets.ts';

/** A publication's webhook door with its secrets opened. */
export interface OpenDoor {
  organizationId: string;
  provider: ProviderName;
  /** Empty while the app is still being made. */
  secrets: readonly string[];
}

export interface WebhookSecretsOptions {
  /** How long a change (a new secret, an unpublished publication) may take to be seen. */
  ttlMs: number;
  maxEntries: number;
  /** How long the database may take, so that a provider that waits three seconds gets an answer. */
  timeoutMs: number;
}

const nothing: Promise<undefined> = Promise.resolve(undefined);

/**
 * Publication id → its opened signing secrets, remembered for a moment. What does not exist or is unpublished answers
 * undefined, and is remembered alike. Concurrent askers share one query; an error is not kept.
 */
export class WebhookSecrets {
  readonly #doors: TimedCache<OpenDoor | undefined>;
  readonly #pool: Pool;
  readonly #secrets: GatewaySecrets;
  readonly #clock: () => Date;
  readonly #timeoutMs: number;

  constructor(pool: Pool, secrets: GatewaySecrets, clock: () => Date, options: WebhookSecretsOptions) {
    this.#pool = pool;
    this.#secrets = secrets;
    this.#clock = clock;
    this.#timeoutMs = options.timeoutMs;
    this.#doors = new TimedCache(options.ttlMs, options.maxEntries, () => clock().getTime());
  }

  /** Rejects when the database does not answer or a stored secret does not open. */
  find(publicationId: string): Promise<OpenDoor | undefined> {
    // What cannot be an id of ours is not looked for.
    if (!/^pub_[0-9a-z]{1,40}$/.test(publicationId)) return nothing;
    return this.#doors.get(publicationId, () => this.#read(publicationId, this.#clock()));
  }

  /** Forgets one publication, so that its change is seen at once by this process. */
  forget(publicationId: string): void {
    this.#doors.forget(publicationId);
  }

  async #read(publicationId: string, now: Date): Promise<OpenDoor | undefined> {
    const door = await within(this.#timeoutMs, readWebhookDoor(this.#pool, publicationId, now));
    if (!door || door.state === 'unpublished') return undefined;
    const { organizationId, provider } = door;
    // Its address exists before its secret: Slack asks it to prove itself while the app is being made.
    if (door.secrets.length === 0) return { organizationId, provider, secrets: [] };
    const opened = await Promise.allSettled(
      door.secrets.map(({ id, sealed }) =>
        this.#secrets.openWebhookSecret(webhookSecretBinding(door.organizationId, id), sealed),
      ),
    );
    const secrets = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    if (secrets.length === 0) {
      throw new Error(
        `No webhook secret of publication ${publicationId} opens: TAGALONG_ROOT_KEY is not the one that they were sealed with, or the rows were changed.`,
      );
    }
    return { organizationId, provider, secrets };
  }
}

function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`The database did not answer within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
