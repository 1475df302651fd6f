import type { Logger } from 'pino';
import { deriveSessionKey, type RootKeys, readableKeys, writingKey } from '../keys.ts';
import { openWith, type SealBinding, sealWith } from '../seal.ts';
import { createSpares, type Spares } from '../spares.ts';
import { SessionAuthority } from './certificates.ts';

/** As many as sessions start at once on a small machine. */
const spareCount = 4;
/** Who took one is about to ask for more than this. */
const restMs = 50;
/** Older ones are made anew: what is left of a certificate's life is the session's. */
const maxSpareAgeMs = 3_600_000;

interface Spare {
  authority: SessionAuthority;
  madeAt: number;
}

/** The authorities of sessions: made ahead, for making one takes as long as ten requests, and sealed with the root key. */
export class SessionAuthorities {
  readonly #rootKeys: RootKeys;
  readonly #now: () => number;
  readonly #spares: Spares<Spare>;

  constructor(rootKeys: RootKeys, now: () => number, logger: Logger) {
    this.#rootKeys = rootKeys;
    this.#now = now;
    this.#spares = createSpares<Spare>({
      count: spareCount,
      restMs,
      make: async () => ({ madeAt: now(), authority: await SessionAuthority.create(now) }),
      // A clock that was set back would make certificates of the future.
      isGood: ({ madeAt }) => Math.abs(now() - madeAt) < maxSpareAgeMs,
      discard: async () => {},
      onFailure: (err) => logger.warn({ err }, 'No certificate authority was made ahead.'),
    });
  }

  /** One that no other session has. */
  async next(): Promise<SessionAuthority> {
    return this.#spares.take()?.authority ?? SessionAuthority.create(this.#now);
  }

  /** What `open` gives it back from, for this session only. */
  async seal(organizationId: string, sessionId: string, authority: SessionAuthority): Promise<string> {
    const key = deriveSessionKey(writingKey(this.#rootKeys));
    return sealWith(key, bindingOf(organizationId, sessionId), await authority.export());
  }

  /** Rejects with a SealError for a foreign seal. */
  async open(organizationId: string, sessionId: string, sealed: string): Promise<SessionAuthority> {
    const keys = readableKeys(this.#rootKeys).map(deriveSessionKey);
    const exported = await openWith(keys, bindingOf(organizationId, sessionId), sealed);
    return SessionAuthority.import(exported, this.#now);
  }

  close(): Promise<void> {
    return this.#spares.close();
  }
}

function bindingOf(organizationId: string, sessionId: string): SealBinding {
  return { organizationId, table: 'sessions', row: sessionId, purpose: 'egress_authority' };
}
