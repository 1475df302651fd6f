import { isNull } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { credentials } from '../store/schema.ts';
import { Redaction } from './egress/redaction.ts';
import type { RootKeys } from './keys.ts';
import { findLeak } from './leaks.ts';
import { credentialBinding, openCredential } from './seal.ts';
import { TimedCache } from './timed-cache.ts';

interface Known {
  names: readonly string[];
  values: readonly string[];
  search: Redaction;
}

/** How long a new secret may not be looked for yet. */
const ttlMs = 10_000;
/** GitHub's tokens end after an hour, others mostly too; what is refreshed is stored and read from there. */
const mintedMs = 2 * 3_600_000;
const maxMinted = 200;
/** Of a credential's fields, what is no secret. */
const readable = new Set(['username', 'app_id']);

/** All secrets of an organization, for what must not carry one: messages, and requests to hosts that get none. */
export class KnownSecrets {
  readonly #database: Database;
  readonly #rootKeys: RootKeys;
  readonly #house: readonly string[];
  readonly #known: TimedCache<Known>;
  readonly #now: () => number;
  readonly #minted = new Map<string, { name: string; value: string; until: number }[]>();

  /** `house`: the operator's own keys, which every organization's text is searched for. */
  constructor(database: Database, rootKeys: RootKeys, house: readonly string[], now: () => number) {
    this.#database = database;
    this.#rootKeys = rootKeys;
    this.#house = house;
    this.#known = new TimedCache(ttlMs, 200, now);
    this.#now = now;
  }

  /** Looks for a token too that was just minted or refreshed, from now on. What is no text, or empty, is not one. */
  remember(organizationId: string, name: string, value: unknown): void {
    if (typeof value !== 'string' || value === '') return;
    const kept = this.#current(organizationId).filter((each) => each.value !== value);
    this.#minted.set(organizationId, [
      ...kept.slice(1 - maxMinted),
      { name, value, until: this.#now() + mintedMs },
    ]);
    this.#known.forget(organizationId);
  }

  #current(organizationId: string) {
    return (this.#minted.get(organizationId) ?? []).filter(({ until }) => until > this.#now());
  }

  /** Whether a text holds one, in any of its usual forms; says which by name. Rejects when the database is away. */
  async check(organizationId: string, text: string): Promise<{ ok: true } | { ok: false; reason: string }> {
    const { names, values } = await this.#get(organizationId);
    const leak = findLeak(text, values);
    if (!leak) return { ok: true };
    const form = leak.form === 'plain' ? '' : `, written as ${leak.form}`;
    return {
      ok: false,
      reason: `The text holds a secret (${names[leak.secret] ?? 'a key'}${form}) and was not sent.`,
    };
  }

  /** A search for all of them, of its own count. Rejects when the database is away. */
  async search(organizationId: string): Promise<Redaction> {
    return (await this.#get(organizationId)).search.fork();
  }

  #get(organizationId: string): Promise<Known> {
    return this.#known.get(organizationId, () => this.#read(organizationId));
  }

  async #read(organizationId: string): Promise<Known> {
    const rows = await withOrganization(this.#database, organizationId, (tx) =>
      tx.select().from(credentials).where(isNull(credentials.archivedAt)).orderBy(credentials.id),
    );
    const found = [
      ...this.#house.map((value) => ({ name: "the operator's model key", value })),
      ...this.#current(organizationId),
    ];
    for (const { id, sealed, displayName } of rows) {
      const binding = credentialBinding(organizationId, id);
      // One that does not open cannot be told by anybody either.
      const opened = await openCredential(this.#rootKeys, binding, sealed).catch(() => ({}));
      for (const [field, value] of Object.entries(opened)) {
        if (!readable.has(field))
          found.push(...partsOf(value).map((part) => ({ name: displayName, value: part })));
      }
    }
    const values = found.map(({ value }) => value);
    return { names: found.map(({ name }) => name), values, search: new Redaction(values) };
  }
}

/** A key in lines is a secret line by line: in a text it may be wrapped in another way. */
function partsOf(value: string): string[] {
  const lines = value.split(/\\n|\n/).filter((line) => line.length >= 32 && !line.startsWith('-----'));
  return lines.length > 1 ? lines : [value];
}
