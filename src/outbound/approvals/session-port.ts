import type { ProviderAdapter } from '../../providers/provider.ts';
import type { Transaction } from '../../store/connection.ts';
import type { ProviderName } from '../../store/schema.ts';

/** Something that the platform tells a session. */
export interface Telling {
  organizationId: string;
  sessionId: string;
  publicationId: string;
  anchorId: string | null;
  /** One per thing told: told again, it is not stored again. */
  externalKey: string;
  text: string;
  /** Whether a turn shall start for it. */
  wakes: boolean;
  approvalId: string;
}

/** What the sessions room does for what is decided here; given by who composes the program. */
export interface SessionPort {
  tell(tx: Transaction, telling: Telling): Promise<void>;
  /** Appends an event of ours to the session's log. */
  record(
    tx: Transaction,
    at: { organizationId: string; sessionId: string; turnId: string | null },
    type: `tagalong.${string}`,
    payload: Record<string, unknown>,
  ): Promise<void>;
}

/** What deciding needs. */
export interface ApprovalDependencies {
  adapters: Readonly<Record<ProviderName, Pick<ProviderAdapter, 'tools'>>>;
  sessions: SessionPort;
}
