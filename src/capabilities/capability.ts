import type { Grant, ProviderName } from '../store/schema.ts';

/** A named permission to do one kind of thing outside: `slack:thread.reply`, `github:pr.merge`. */
export type Capability = `${ProviderName}:${string}`;

/** What an admin set for one publication, by capability name without the provider: only what differs. */
export type Grants = Readonly<Record<string, Grant>>;

/** One provider's capabilities with the grant that each has unless an admin says otherwise. */
export type CapabilityTable = Readonly<Record<string, Grant>>;
