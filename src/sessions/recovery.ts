/** What is known of a turn that was found running without anyone who runs it. */
export interface FoundTurn {
  /** Null: the agent program was never asked. */
  promptedAt: Date | null;
  attempt: number;
}

export type Recovery =
  /** Never started: run it as if for the first time. */
  | { kind: 'start' }
  /** Started, outcome unknown: run it again with the list of its recorded actions. */
  | { kind: 'resume'; attempt: number }
  /** It was interrupted too often: say so instead of trying for ever. */
  | { kind: 'give_up'; message: string };

export const maxAttempts = 4;

/**
 * What to do with an interrupted turn. A turn closes in one transaction with its reply, so one that is still running
 * has no reply: it is either unstarted or of unknown outcome. Pure.
 */
export function recoverTurn(turn: FoundTurn): Recovery {
  if (turn.promptedAt === null) return { kind: 'start' };
  if (turn.attempt >= maxAttempts) {
    return {
      kind: 'give_up',
      message: `My work on this was interrupted ${turn.attempt} times, so I stopped trying. Please tag me again to start over.`,
    };
  }
  return { kind: 'resume', attempt: turn.attempt + 1 };
}
