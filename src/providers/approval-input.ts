import { z } from 'zod';

/** What `ask_approval` is called with, as the platform stores it. */
export const askInput = z.object({
  approval_id: z.string().min(1),
  /** What it is, in one line. */
  title: z.string(),
  /** All of it, with secrets taken out. */
  shown: z.string(),
  /** Who may decide and until when, in a sentence. */
  rules: z.string(),
});
export type ApprovalPrompt = z.output<typeof askInput>;

/** What `close_approval` is called with. */
export const closeInput = z.object({
  approval_id: z.string().min(1),
  title: z.string(),
  outcome: z.string(),
  /** The mark of the question, by which it is found again. */
  prompt_mark: z.string().min(1),
});
export type ApprovalOutcome = z.output<typeof closeInput>;
