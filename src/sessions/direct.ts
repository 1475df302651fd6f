import { and, eq } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { withOrganization } from '../store/organization.ts';
import { agents, sessions } from '../store/schema.ts';
import { addMessage } from './messages.ts';
import { requestStop } from './stop.ts';

const apiAuthor = { id: 'api', name: 'API', kind: 'api' } as const;

/** Sessions that are driven by the REST API, without an anchor: what the agent says stays in the event log. */
export function createDirectSessions(database: Database) {
  return {
    /** Makes a session with the agent's current version, or with the one named. Undefined: no such agent. */
    create(
      organizationId: string,
      input: { agentId: string; agentVersion?: number; title?: string; metadata?: Record<string, string> },
    ): Promise<string | undefined> {
      return withOrganization(database, organizationId, async (tx) => {
        const found = await tx
          .select({ version: agents.version })
          .from(agents)
          .where(eq(agents.id, input.agentId));
        const current = found[0]?.version;
        if (current === undefined) return undefined;
        const id = newId('sesn');
        await tx.insert(sessions).values({
          id,
          organizationId,
          agentId: input.agentId,
          agentVersion: input.agentVersion ?? current,
          title: input.title ?? null,
          metadata: input.metadata ?? {},
        });
        return id;
      });
    },

    /** Adds a person's message; the turn follows by itself. Undefined: no such session. Answers the message's id. */
    say(organizationId: string, sessionId: string, text: string): Promise<string | undefined> {
      return withOrganization(database, organizationId, async (tx) => {
        const found = await tx
          .select({ publicationId: sessions.publicationId })
          .from(sessions)
          .where(and(eq(sessions.id, sessionId)));
        if (!found[0]) return undefined;
        return addMessage(tx, {
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
      });
    },

    /** Ends the running turn, if any. */
    interrupt(organizationId: string, sessionId: string): Promise<void> {
      return withOrganization(database, organizationId, (tx) =>
        requestStop(tx, organizationId, sessionId, apiAuthor),
      );
    },
  };
}

export type DirectSessions = ReturnType<typeof createDirectSessions>;
