import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { egressRecords } from '../store/schema.ts';
import type { SymmetricKey } from './keys.ts';

export type ChainedRecords = typeof egressRecords.$inferSelect;
/** The key of the seals over records. Made once: making it costs more than a seal. */
export interface RecordKey {
  kid: string;
  secret: KeyObject;
}

export function recordKeyOf({ kid, bytes }: SymmetricKey): RecordKey {
  return { kid, secret: createSecretKey(bytes) };
}

type Unchained = Omit<ChainedRecords, 'chain' | 'number' | 'seal'>;
interface Place {
  chain: string;
  number: number;
}

/**
 * The seal over a row, its place in its chain, and the seal before it (empty for the first): `<key id>.<HMAC-SHA256>`.
 * Whoever has not the key can neither change a row, nor put one in, nor take one out between others, without its being
 * seen. What the newest rows of a chain were is known only while somebody knows its last seal.
 */
export function sealOf(key: RecordKey, row: Unchained & Place, sealBefore: string): string {
  const content = [
    [row.chain, row.number, sealBefore],
    [row.id, row.organizationId, row.sessionId, row.installationId, row.turnId, row.at.getTime()],
    [row.method, row.scheme, row.host, row.port, row.credential, row.decision, row.rule],
    [row.model, row.inputTokens, row.outputTokens, row.cachedTokens, row.stopReason],
    [row.offsetsMs, row.paths, row.statuses, row.bytesUp, row.bytesDown, row.durationsMs],
  ];
  const mac = createHmac('sha256', key.secret).update(JSON.stringify(content)).digest('base64url');
  return `${key.kid}.${mac}`;
}

/** The chains of one process: one for each organization, each begun by its first row. */
export class RecordChains {
  readonly #key: RecordKey;
  readonly #ends = new Map<string, Place & { seal: string }>();

  constructor(key: RecordKey) {
    this.#key = key;
  }

  /**
   * Adds rows to their organizations' chains. Call `keep` when they are stored: until then the next ones would take the
   * same places, as those that were not stored leave none behind.
   */
  add(rows: readonly Unchained[]): { rows: ChainedRecords[]; keep: () => void } {
    const ends = new Map<string, Place & { seal: string }>();
    const chained = rows.map((row) => {
      const { organizationId } = row;
      const before = ends.get(organizationId) ?? this.#end(organizationId);
      const place = { chain: before.chain, number: before.number + 1 };
      const end = { ...place, seal: sealOf(this.#key, { ...row, ...place }, before.seal) };
      ends.set(organizationId, end);
      return { ...row, ...end };
    });
    return {
      rows: chained,
      keep: () => {
        for (const [organizationId, end] of ends) this.#ends.set(organizationId, end);
      },
    };
  }

  #end(organizationId: string): Place & { seal: string } {
    let end = this.#ends.get(organizationId);
    if (!end) {
      end = { chain: randomBytes(12).toString('base64url'), number: 0, seal: '' };
      this.#ends.set(organizationId, end);
    }
    return end;
  }
}

/** What is wrong with a chain, at which row. */
export interface ChainFault {
  chain: string;
  /** Where it shows. */
  id: string;
  /** `changed`: the row is not what was sealed. `missing`: rows before it are gone. */
  kind: 'changed' | 'missing';
}

/** Goes along the rows of one chain, ordered by their number, and tells what is wrong with each. */
export class ChainReader {
  readonly #keys: ReadonlyMap<string, RecordKey>;
  #number = 0;
  #seal = '';
  /** A process seals with one key from its beginning to its end. */
  #isOurs = false;

  constructor(keys: readonly RecordKey[]) {
    this.#keys = new Map(keys.map((key) => [key.kid, key]));
  }

  /** `foreign` is a chain that no key of ours sealed: nothing can be said of it. */
  read(row: Unchained & Place & { seal: string }): ChainFault | 'right' | 'foreign' {
    const { chain, number, seal, id } = row;
    const follows = number === this.#number + 1;
    const before = this.#seal;
    this.#number = number;
    this.#seal = seal;
    const key = this.#keys.get(seal.split('.', 1)[0] ?? '');
    if (!key) return this.#isOurs ? { chain, id, kind: 'changed' } : 'foreign';
    this.#isOurs = true;
    if (!follows) return { chain, id, kind: 'missing' };
    return sealOf(key, row, before) === seal ? 'right' : { chain, id, kind: 'changed' };
  }
}
