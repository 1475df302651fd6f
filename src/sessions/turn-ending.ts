import type { AgentConnection } from '../agents/program.ts';
import type { TurnEnd } from './close-turn.ts';

/** Why a turn is ended before its program has ended it. */
export type EndOrder = 'stopped' | 'too_long';

/** How long a program may take to end its turn when it is told to. Its sandbox is killed after that. */
export const cancelGraceMs = 1_500;

/** The early end of one turn: ordered once, obeyed by the program or enforced. */
export interface Ending {
  /** Aborted with the order. */
  signal: AbortSignal;
  order(order: EndOrder): void;
  /** How the turn ends by the order; undefined when there is none. */
  ordered(): TurnEnd | undefined;
  /** When it is ordered asks the program to end its turn, and rejects when it has not in time. Else never settles. */
  enforcedOn(connection: Pick<AgentConnection, 'cancel'>): Promise<never>;
  /** The turn is over. */
  dispose(): void;
}

/** An ending that orders itself when the turn has run for `maxTurnMs`. */
export function createEnding(maxTurnMs: number, graceMs: number = cancelGraceMs): Ending {
  const controller = new AbortController();
  const { signal } = controller;
  let given: EndOrder | undefined;
  let grace: NodeJS.Timeout | undefined;
  const order = (next: EndOrder) => {
    given ??= next;
    controller.abort(new Error(`The turn was ended: ${given}.`));
  };
  const limit = setTimeout(() => order('too_long'), maxTurnMs);
  return {
    signal,
    order,
    ordered() {
      if (given === undefined) return undefined;
      if (given === 'stopped') return { kind: 'cancelled' };
      const minutes = Math.round(maxTurnMs / 60_000);
      return {
        kind: 'failed',
        message: `I stopped after ${minutes} minutes without an end. Please tag me with a smaller step.`,
      };
    },
    enforcedOn: (connection) =>
      new Promise((_, reject) => {
        const begin = () => {
          void connection.cancel();
          grace = setTimeout(() => reject(signal.reason), graceMs);
        };
        if (signal.aborted) begin();
        else signal.addEventListener('abort', begin, { once: true });
      }),
    dispose() {
      clearTimeout(limit);
      clearTimeout(grace);
    },
  };
}
