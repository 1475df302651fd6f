import { eq } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { withOrganization } from '../store/organization.ts';
import { agents, sessions } from '../store/schema.ts';
import { addMessage } from './messages.ts';
import { requestStop } from './stop.ts';

const apiAuthor = { id: 'api', name: 'API', kind: 'api' } as const;

export interface NewSession {
  organizationId: string;
  agentId: string;
  /** Undefined: the newest. */
  agentVersion: number | undefined;
  title: string | undefined;
  metadata: Record<string, string>;
}

/** Sessions that are driven by the REST API: without an anchor, what the agent says stays in the event log. */
export interface DirectSessions {
  /** Makes a session. Answers its id. */
  create(input: NewSession): Promise<string>;
  /** Adds a message; the turn follows by itself. Answers the event's id. */
  say(input: { organizationId: string; sessionId: string; text: string }): Promise<string>;
  /** Ends the running turn, if any. Answers the event's id. */
  interrupt(input: { organizationId: string; sessionId: string }): Promise<string>;
}

/** Throws where a row that the caller has just seen is gone. */
export function createDirectSessions(database: Database): DirectSessions {
  return {
    create({ organizationId, agentId, agentVersion, title, metadata }) {
      return withOrganization(database, organizationId, async (tx) => {
        const id = newId('sesn');
        await tx.insert(sessions).values({
          id,
          organizationId,
          agentId,
          agentVersion: agentVersion ?? (await newestVersion(tx, agentId)),
          title: title ?? null,
          metadata,
        });
        return id;
      });
    },

    say({ organizationId, sessionId, text }) {
      return withOrganization(database, organizationId, async (tx) => {
        const found = await tx
          .select({ publicationId: sessions.publicationId })
          .from(sessions)
          .where(eq(sessions.id, sessionId));
        if (!found[0]) throw new Error(`Session ${sessionId} is gone.`);
        const added = await addMessage(tx, {
          organizationId,
          sessionId,
          anchorId: null,
          publicationId: found[0].publicationId,
          externalKey: `api:${newId('msg')}`,
          author: apiAuthor,
          authority: true,
          body: text,
          place: {},
          deliveryId: null,
        });
        if (!added) throw new Error(`The message to session ${sessionId} was not stored.`);
        return added.eventId;
      });
    },

    interrupt({ organizationId, sessionId }) {
      return withOrganization(database, organizationId, (tx) =>
        requestStop(tx, organizationId, sessionId, apiAuthor),
      );
    },
  };
}

async function newestVersion(tx: Transaction, agentId: string): Promise<number> {
  const found = await tx.select({ version: agents.version }).from(agents).where(eq(agents.id, agentId));
  if (!found[0]) throw new Error(`Agent ${agentId} is gone.`);
  return found[0].version;
}
