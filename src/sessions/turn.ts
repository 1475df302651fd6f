import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { AgentError, type PromptResult } from '../agents/program.ts';
import { SandboxError } from '../sandbox/sandbox.ts';
import type { Database } from '../store/connection.ts';
import type { Jobs } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import type { EgressControl } from '../vault/egress/protocol.ts';
import { agentEvent } from './agent-events.ts';
import { closeTurn, type TurnEnd, type TurnOutbound } from './close-turn.ts';
import { TurnLog } from './event-log.ts';
import { acquireLease, type Lease, LeaseLostError, releaseLease, renewEveryMs, renewLease } from './lease.ts';
import type { LiveSession, LiveSessions } from './live.ts';
import { composePrompt, composeSystem } from './prompt.ts';
import { type ClaimedTurn, claimTurn, hasWaiting, markPrompted } from './turn-rows.ts';

export interface TurnDependencies {
  database: Database;
  live: LiveSessions;
  egress: Pick<EgressControl, 'setTurn'>;
  outbound: TurnOutbound;
  workerId: string;
  /** Host folder in which each session has its own. */
  sessionsFolder: string;
  /** First host uid of sandboxes; undefined where all share one. */
  firstUid: number | undefined;
  logger: Logger;
  /** How long one turn may run. */
  maxTurnMs: number;
}

/** The turns of this worker: a job handler, and a way to stop one. */
export interface TurnRunner {
  /** The `turn` job: runs what waits in the session until nothing waits, or leaves when another worker holds it. */
  run(job: Jobs['turn']): Promise<void>;
  /** Ends the session's running turn, when it runs here. */
  stop(sessionId: string): Promise<void>;
  /** Makes running turns end as interrupted, to be resumed by the next worker. */
  shutDown(): Promise<void>;
}

export function createTurnRunner(dependencies: TurnDependencies): TurnRunner {
  const { database, workerId, logger, live } = dependencies;
  const running = new Map<string, Promise<void>>();
  const again = new Set<string>();
  const stopped = new Set<string>();
  let closing = false;

  async function runSession(job: Jobs['turn']): Promise<void> {
    const { organizationId, sessionId } = job;
    while (!closing) {
      const lease = await acquireLease(database, organizationId, sessionId, workerId);
      if (!lease) return;
      live.adopt(sessionId, lease.fence);
      const renewal = keepLease(lease);
      try {
        for (;;) {
          if (closing) break;
          const claimed = await withOrganization(database, organizationId, (tx) =>
            claimTurn(tx, lease, dependencies.firstUid),
          );
          if (!claimed) break;
          await runTurn(lease, claimed);
        }
      } catch (error) {
        if (!(error instanceof LeaseLostError)) throw error;
        logger.warn({ sessionId, workerId }, 'the session went to another worker');
        await live.discard(sessionId);
        return;
      } finally {
        clearInterval(renewal);
        live.release(sessionId, Date.now());
        await releaseLease(database, lease);
      }
      // The job of a message that came between the last look and the release found the lease taken, and left.
      if (!(await hasWaiting(database, organizationId, sessionId))) return;
    }
  }

  function keepLease(lease: Lease): NodeJS.Timeout {
    const timer = setInterval(() => {
      renewLease(database, lease).catch((error: unknown) => {
        logger.warn({ err: error, sessionId: lease.sessionId }, 'the lease was not renewed');
        if (error instanceof LeaseLostError) {
          clearInterval(timer);
          void live.discard(lease.sessionId);
        }
      });
    }, renewEveryMs);
    timer.unref();
    return timer;
  }

  async function runTurn(lease: Lease, claimed: ClaimedTurn): Promise<void> {
    const { turn, recovery } = claimed;
    const log = new TurnLog(database, lease, turn.id);
    stopped.delete(lease.sessionId);
    let end: TurnEnd;
    if (recovery.kind === 'give_up') end = { kind: 'failed', message: recovery.message };
    else {
      dependencies.egress.setTurn(lease.sessionId, turn.id);
      end = await promptAgent(lease, claimed, log).catch((error: unknown) => failureOf(error));
      dependencies.egress.setTurn(lease.sessionId, null);
    }
    if (closing) return;
    await log.flush();
    if (end.kind === 'failed') {
      logger.warn(
        { sessionId: lease.sessionId, turnId: turn.id, reason: end.detail ?? end.message },
        'the turn failed',
      );
      // What is left in a program after a failure is not to be trusted with the next turn.
      await live.discard(lease.sessionId);
    }
    await closeTurn(database, lease, claimed, end, dependencies.outbound);
  }

  async function promptAgent(lease: Lease, claimed: ClaimedTurn, log: TurnLog): Promise<TurnEnd> {
    const { context, turn, recovery } = claimed;
    const session = await openProgram(lease, claimed);
    if (stopped.has(lease.sessionId)) return { kind: 'cancelled' };
    await withOrganization(database, lease.organizationId, (tx) =>
      markPrompted(tx, lease, turn.id, session.connection.programSessionId),
    );
    if (context.session.sandbox === null)
      log.add({ type: 'tagalong.sandbox_started', payload: { ...session.sandbox.enforced } });
    const text = composePrompt(
      claimed.messages.map(({ author, authority, body }) => ({ author, authority, body })),
      randomBytes(6).toString('hex'),
      recovery.kind === 'resume' ? { earlierActions: claimed.earlierActions } : undefined,
    );
    let timedOut = false;
    const limit = setTimeout(() => {
      timedOut = true;
      void session.connection.cancel();
    }, dependencies.maxTurnMs);
    try {
      const result = await Promise.race([
        session.connection.prompt(text, (update) => log.add(agentEvent(update))),
        diedWithin(session),
      ]);
      if (timedOut) {
        const minutes = Math.round(dependencies.maxTurnMs / 60_000);
        return {
          kind: 'failed',
          message: `I stopped after ${minutes} minutes without an end. Please tag me with a smaller step.`,
        };
      }
      return resultOf(result);
    } finally {
      clearTimeout(limit);
    }
  }

  function openProgram(lease: Lease, claimed: ClaimedTurn): Promise<LiveSession> {
    const { session, agent, publication, installation } = claimed.context;
    return live.acquire({
      organizationId: lease.organizationId,
      sessionId: lease.sessionId,
      uid: session.uid ?? undefined,
      directory: `${dependencies.sessionsFolder}/${lease.sessionId}`,
      fence: lease.fence,
      programSessionId: session.programSessionId ?? undefined,
      instructions: {
        model: agent.model.id,
        system: composeSystem({
          name: agent.name,
          system: agent.system,
          provider: publication?.provider,
          handle: installation?.identity.handle,
        }),
      },
      mcpServers: publication
        ? [{ name: publication.provider, url: `http://tagalong.internal/mcp/${publication.provider}` }]
        : [],
    });
  }

  return {
    async run(job) {
      const { sessionId } = job;
      if (running.has(sessionId)) {
        // Whoever runs it here takes this job's message along; the job need not keep a place for it.
        again.add(sessionId);
        return;
      }
      const task = (async () => {
        do {
          again.delete(sessionId);
          await runSession(job);
        } while (again.has(sessionId));
      })().finally(() => running.delete(sessionId));
      running.set(sessionId, task);
      await task;
    },
    async stop(sessionId) {
      if (!running.has(sessionId)) return;
      stopped.add(sessionId);
      await live.get(sessionId)?.connection.cancel();
    },
    async shutDown() {
      closing = true;
      const turns = [...running.values()];
      await live.closeAll();
      await Promise.allSettled(turns);
      await live.closeAll();
    },
  };
}

function resultOf(result: PromptResult): TurnEnd {
  switch (result.stopReason) {
    case 'cancelled':
      return { kind: 'cancelled' };
    case 'refusal':
      return { kind: 'failed', message: 'The model declined this request.' };
    case 'max_tokens':
    case 'max_turn_requests':
    case 'end_turn':
      return { kind: 'completed', stopReason: result.stopReason, text: result.finalMessage };
  }
}

async function diedWithin(session: LiveSession): Promise<never> {
  const end = await session.sandbox.closed;
  throw new AgentError('died', end.reason);
}

const advice: Record<AgentError['code'], string> = {
  start_failed: 'Please tag me again in a moment; if it goes on, tell the people who run me.',
  protocol: 'The people who run me need to look at it.',
  died: 'Please tag me again; what is in the workspace is kept.',
  flood: 'Please tag me again with a smaller step.',
  model_failed: 'Please tag me again in a moment; if it goes on, tell the people who run me.',
};

/** What failed, in one sentence for the thread with what to do; the detail is for the log. */
function failureOf(error: unknown): TurnEnd {
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
