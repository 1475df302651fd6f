import { z } from 'zod';

const text = z.string().nullish();
const user = z.object({ id: z.string(), name: text }).nullish();

/** What every webhook of an app says of where it comes from. */
export const envelopeSchema = z.object({
  type: z.string(),
  action: text,
  oauthClientId: text,
  organizationId: text,
  appUserId: text,
  createdAt: text,
});

/** The fields of `AgentSessionEvent` that we read. https://linear.app/developers/agent-interaction */
export const agentSessionEventSchema = z.object({
  action: z.string(),
  agentSession: z.object({
    id: z.string().min(1),
    creatorId: text,
    creator: user,
    issueId: text,
    issue: z.object({ id: text, identifier: text, title: text, description: text }).nullish(),
    commentId: text,
    comment: z.object({ id: text, body: text }).nullish(),
  }),
  agentActivity: z
    .object({
      id: z.string().min(1),
      /** The types say `content.body`, the prose says `body`. */
      content: z.object({ type: text, body: text }).nullish(),
      body: text,
      signal: text,
      userId: text,
      user,
      sourceCommentId: text,
    })
    .nullish(),
  guidance: z.array(z.object({ body: z.string() })).nullish(),
});

export type AgentSessionEvent = z.infer<typeof agentSessionEventSchema>;
