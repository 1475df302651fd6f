import { AgentError } from '../agents/program.ts';
import { SandboxError } from '../sandbox/sandbox.ts';
import type { TurnEnd } from './close-turn.ts';
import { LeaseLostError } from './lease.ts';

const advice: Record<AgentError['code'], string> = {
  start_failed: 'Please tag me again in a moment; if it goes on, tell the people who run me.',
  protocol: 'The people who run me need to look at it.',
  died: 'Please tag me again; what is in the workspace is kept.',
  flood: 'Please tag me again with a smaller step.',
  disk_full: 'Please tag me again and say what I may delete.',
  model_failed: 'Please tag me again in a moment; if it goes on, tell the people who run me.',
};

/** What failed, in one sentence for the thread with what to do; the detail is for the log. */
export function failureOf(error: unknown): TurnEnd {
  if (error instanceof LeaseLostError) throw error;
  if (error instanceof AgentError) {
    return {
      kind: 'failed',
      message: `I could not finish this: ${sentence(error.message)} ${advice[error.code]}`,
      detail: error.message,
    };
  }
  if (error instanceof SandboxError) {
    return {
      kind: 'failed',
      message: 'I could not start my sandbox. The people who run me can see why with `tagalong doctor`.',
      detail: error.message,
    };
  }
  return {
    kind: 'failed',
    message:
      'Something went wrong on my side. Please tag me again; if it goes on, tell the people who run me.',
    detail: error instanceof Error ? (error.stack ?? error.message) : String(error),
  };
}

function sentence(text: string): string {
  const short = text.trim().split('\n')[0]?.slice(0, 300) ?? '';
  return /[.!?]$/.test(short) ? short : `${short}.`;
}
