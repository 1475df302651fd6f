import type { SessionPort } from '../outbound/approvals/session-port.ts';
import { appendEvents } from './event-log.ts';
import { addMessage } from './messages.ts';

const platformAuthor = { id: 'tagalong', name: 'Tagalong', kind: 'api' } as const;

/** How what is decided over an agent's requests reaches its session: as an event, and as a message of the platform. */
export const sessionPort: SessionPort = {
  async tell(
    tx,
    { organizationId, sessionId, publicationId, anchorId, externalKey, text, wakes, approvalId },
  ) {
    await addMessage(tx, {
      organizationId,
      sessionId,
      anchorId,
      publicationId,
      externalKey,
      author: platformAuthor,
      authority: true,
      wakes,
      body: text,
      place: { approval_id: approvalId },
      deliveryId: null,
    });
  },

  async record(tx, { organizationId, sessionId, turnId }, type, payload) {
    await appendEvents(tx, organizationId, sessionId, turnId, [{ type, payload }]);
  },
};
