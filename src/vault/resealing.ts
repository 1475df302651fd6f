import { and, eq, gt, ne } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database, Transaction } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { credentials, notificationUrls, organizations, webhookSecrets } from '../store/schema.ts';
import { deriveWebhookKey, organizationPublicKey, type RootKeys, readableKeys, writingKey } from './keys.ts';
import {
  credentialBinding,
  notificationBinding,
  openCredential,
  openWebhookSecret,
  type SealBinding,
  sealCredential,
  sealedKeyId,
  sealWebhookSecret,
  webhookSecretBinding,
} from './seal.ts';

/** Rows that one transaction seals anew: few, since it holds their locks. */
const batchSize = 20;
/** What was being sealed to the old key while the new one took over is found a moment later. */
const againMs = 60_000;

interface Row {
  id: string;
  sealed: string;
}

/** One table of sealed values: how its rows are read, sealed anew, and written over what was read. */
interface Shelf {
  read(tx: Transaction, afterId: string): Promise<Row[]>;
  currentKid: string;
  reseal(row: Row): Promise<string>;
  /** Writes only over the value that was read: whoever wrote meanwhile wrote with the new key. */
  write(tx: Transaction, row: Row, sealed: string): Promise<unknown>;
}

/**
 * Seals anew what the previous root key sealed, row by row. Nothing is remembered about how far it got: what is done
 * shows in the rows, so that it can be killed anywhere, run twice and at once, and goes on where it was.
 */
export class Resealing {
  readonly #database: Database;
  readonly #rootKeys: RootKeys;
  readonly #logger: Logger;
  readonly #unreadable = new Set<string>();
  #resealed = 0;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(database: Database, rootKeys: RootKeys, logger: Logger) {
    this.#database = database;
    this.#rootKeys = rootKeys;
    this.#logger = logger;
  }

  /** How far it is, for a person; empty where no key is replaced. */
  get said(): string {
    if (readableKeys(this.#rootKeys).length < 2) return '';
    const lost =
      this.#unreadable.size === 0 ? '' : ` These open with neither key: ${[...this.#unreadable].join(', ')}.`;
    const state = this.#running ? 'is being replaced' : 'was replaced';
    return ` The root key ${state}: ${this.#resealed} values sealed anew.${lost}`;
  }

  /** Looks at every row once; resolves when that is done, and does it again later. Nothing where no key is replaced. */
  run(): Promise<void> {
    if (readableKeys(this.#rootKeys).length < 2 || this.#stopped) return Promise.resolve();
    this.#running ??= this.#pass()
      .catch((err) => this.#logger.warn({ err }, 'Sealing anew stopped; it goes on in a minute.'))
      .finally(() => {
        this.#running = undefined;
        if (!this.#stopped) this.#timer = setTimeout(() => void this.run(), againMs).unref();
      });
    return this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #pass(): Promise<void> {
    const before = this.#resealed;
    const all = await this.#database
      .select({ id: organizations.id })
      .from(organizations)
      .orderBy(organizations.id);
    for (const { id } of all) {
      for (const shelf of [this.#credentials(id), this.#notificationUrls(id), this.#webhookSecrets(id)]) {
        for (let after = ''; !this.#stopped; ) {
          const rows = await withOrganization(this.#database, id, (tx) => this.#batch(tx, shelf, after));
          const last = rows.at(-1);
          if (!last) break;
          after = last.id;
        }
      }
    }
    if (this.#resealed > before) {
      this.#logger.info({ resealed: this.#resealed - before }, 'Values were sealed to the new root key.');
    }
    if (this.#unreadable.size > 0) {
      this.#logger.error({ ids: [...this.#unreadable] }, 'Sealed values open with neither root key.');
    }
  }

  async #batch(tx: Transaction, shelf: Shelf, after: string): Promise<Row[]> {
    const rows = await shelf.read(tx, after);
    for (const row of rows) {
      if (sealedKeyId(row.sealed) === shelf.currentKid) continue;
      const sealed = await shelf.reseal(row).catch(() => undefined);
      if (sealed === undefined) {
        this.#unreadable.add(row.id);
        continue;
      }
      this.#unreadable.delete(row.id);
      await shelf.write(tx, row, sealed);
      this.#resealed += 1;
    }
    return rows;
  }

  #credentials(organizationId: string): Shelf {
    return {
      ...this.#toPublicKey(organizationId, credentialBinding),
      read: (tx, afterId) =>
        tx
          .select({ id: credentials.id, sealed: credentials.sealed })
          .from(credentials)
          // An archived one has kept nothing.
          .where(and(gt(credentials.id, afterId), ne(credentials.sealed, '')))
          .orderBy(credentials.id)
          .limit(batchSize),
      write: (tx, row, sealed) =>
        tx
          .update(credentials)
          .set({ sealed })
          .where(and(eq(credentials.id, row.id), eq(credentials.sealed, row.sealed))),
    };
  }

  #notificationUrls(organizationId: string): Shelf {
    return {
      ...this.#toPublicKey(organizationId, notificationBinding),
      read: (tx, afterId) =>
        tx
          .select({ id: notificationUrls.id, sealed: notificationUrls.sealed })
          .from(notificationUrls)
          .where(gt(notificationUrls.id, afterId))
          .orderBy(notificationUrls.id)
          .limit(batchSize),
      write: (tx, row, sealed) =>
        tx
          .update(notificationUrls)
          .set({ sealed })
          .where(and(eq(notificationUrls.id, row.id), eq(notificationUrls.sealed, row.sealed))),
    };
  }

  /** For what is sealed to the organization's public key. */
  #toPublicKey(
    organizationId: string,
    bindingOf: (organizationId: string, id: string) => SealBinding,
  ): Pick<Shelf, 'currentKid' | 'reseal'> {
    const key = organizationPublicKey(writingKey(this.#rootKeys), organizationId);
    return {
      currentKid: String(key.kid),
      reseal: async ({ id, sealed }) => {
        const binding = bindingOf(organizationId, id);
        return sealCredential(key, binding, await openCredential(this.#rootKeys, binding, sealed));
      },
    };
  }

  #webhookSecrets(organizationId: string): Shelf {
    const keys = readableKeys(this.#rootKeys).map(deriveWebhookKey);
    const key = deriveWebhookKey(writingKey(this.#rootKeys));
    return {
      currentKid: key.kid,
      read: (tx, afterId) =>
        tx
          .select({ id: webhookSecrets.id, sealed: webhookSecrets.sealed })
          .from(webhookSecrets)
          .where(gt(webhookSecrets.id, afterId))
          .orderBy(webhookSecrets.id)
          .limit(batchSize),
      reseal: async ({ id, sealed }) => {
        const binding = webhookSecretBinding(organizationId, id);
        return sealWebhookSecret(key, binding, await openWebhookSecret(keys, binding, sealed));
      },
      write: (tx, row, sealed) =>
        tx
          .update(webhookSecrets)
          .set({ sealed })
          .where(and(eq(webhookSecrets.id, row.id), eq(webhookSecrets.sealed, row.sealed))),
    };
  }
}
