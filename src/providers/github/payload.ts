import { z } from 'zod';

/** Ids grow beyond what a float holds exactly only in theory; they are strings everywhere in here. */
const id = z.union([z.number().int(), z.string().regex(/^\d+$/)]).transform(String);
const text = z.string().nullish();
const user = z.object({ id, login: z.string(), type: text });
const app = z.object({ id }).nullish();

const written = {
  body: text,
  user: user.nullish(),
  performed_via_github_app: app,
  created_at: text,
  html_url: text,
};
const labelled = z.object({ name: z.string() });

export const issueSchema = z.object({
  ...written,
  number: z.number().int(),
  title: z.string(),
  /** Present where the issue is a pull request. */
  pull_request: z.unknown().optional(),
});

/**
 * The fields of webhook payloads that we read; each event has some of them.
 * https://docs.github.com/en/webhooks/webhook-events-and-payloads
 */
export const payloadSchema = z.object({
  action: z.string().optional(),
  installation: z.object({ id }).nullish(),
  sender: user.nullish(),
  repository: z.object({ id, name: z.string(), owner: z.object({ login: z.string() }) }).nullish(),
  issue: issueSchema.nullish(),
  pull_request: issueSchema.nullish(),
  comment: z
    .object({ ...written, id, path: text, line: z.number().nullish(), in_reply_to_id: id.nullish() })
    .nullish(),
  review: z.object({ ...written, id, state: text, submitted_at: text }).nullish(),
  label: labelled.nullish(),
  assignee: user.nullish(),
  changes: z
    .object({ body: z.object({ from: text }).nullish(), title: z.object({ from: text }).nullish() })
    .nullish(),
});

export type GithubPayload = z.infer<typeof payloadSchema>;
export type GithubIssue = z.infer<typeof issueSchema>;
export type GithubUser = z.infer<typeof user>;
/** The part that issues, comments and reviews have in common. */
export type GithubWritten = Pick<GithubIssue, 'body' | 'user' | 'performed_via_github_app' | 'created_at'>;
