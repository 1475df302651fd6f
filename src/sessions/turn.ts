import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { AgentError, type PromptResult } from '../agents/program.ts';
import type { Database } from '../store/connection.ts';
import type { Jobs } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import type { EgressControl } from '../vault/egress/protocol.ts';
import { agentEvent } from './agent-events.ts';
import { closeTurn, type TurnEnd, type TurnOutbound } from './close-turn.ts';
import { TurnLog } from './event-log.ts';
import { acquireLease, type Lease, LeaseLostError, releaseLease, renewEveryMs, renewLease } from './lease.ts';
import { type LiveSession, type LiveSessions, whyItDied } from './live.ts';
import { composePrompt, composeSystem } from './prompt.ts';
import { createEnding, type Ending } from './turn-ending.ts';
import { failureOf } from './turn-failure.ts';
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
  const endings = new Map<string, Ending>();
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
    let end: TurnEnd;
    if (recovery.kind === 'give_up') end = { kind: 'failed', message: recovery.message };
    else {
      dependencies.egress.setTurn(lease.sessionId, turn.id);
      const ending = createEnding(dependencies.maxTurnMs);
      endings.set(lease.sessionId, ending);
      end = await promptAgent(lease, claimed, log, ending).catch((error: unknown) => failureOf(error));
      ending.dispose();
      endings.delete(lease.sessionId);
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

  /** Runs the program over the messages. An order to end it early is obeyed by the program, or by killing it. */
  async function promptAgent(
    lease: Lease,
    claimed: ClaimedTurn,
    log: TurnLog,
    ending: Ending,
  ): Promise<TurnEnd> {
    try {
      const session = await openProgram(lease, claimed, log, ending.signal);
      const result = await promptSession(session, lease, claimed, log, ending);
      return ending.ordered() ?? resultOf(result);
    } catch (error) {
      const ordered = ending.ordered();
      if (!ordered) throw error;
      await live.discard(lease.sessionId, 0);
      return ordered;
    }
  }

  async function promptSession(
    session: LiveSession,
    lease: Lease,
    claimed: ClaimedTurn,
    log: TurnLog,
    ending: Ending,
  ): Promise<PromptResult> {
    const { context, turn, recovery } = claimed;
    const enforced = { ...session.sandbox.enforced };
    await withOrganization(database, lease.organizationId, (tx) =>
      markPrompted(tx, lease, turn.id, {
        programSessionId: session.connection.programSessionId,
        sandbox: enforced,
      }),
    );
    if (!isDeepStrictEqual(context.session.sandbox, enforced))
      log.add({ type: 'tagalong.sandbox_started', payload: enforced });
    const text = composePrompt(
      claimed.messages.map(({ author, authority, wakes, body }) => ({ author, authority, wakes, body })),
      randomBytes(6).toString('hex'),
      recovery.kind === 'resume' ? { earlierActions: claimed.earlierActions } : undefined,
    );
    let isOver = false;
    try {
      return await Promise.race([
        session.connection.prompt(text, (update) => {
          const event = agentEvent(update);
          if (!isOver && event) log.add(event);
        }),
        diedWithin(session),
        ending.enforcedOn(session.connection),
      ]);
    } catch (error) {
      throw await whyItDied(error, session.sandbox);
    } finally {
      isOver = true;
    }
  }

  function openProgram(
    lease: Lease,
    claimed: ClaimedTurn,
    log: TurnLog,
    signal: AbortSignal,
  ): Promise<LiveSession> {
    const { session, agent, publication, installation } = claimed.context;
    return live.acquire({
      organizationId: lease.organizationId,
      sessionId: lease.sessionId,
      uid: session.uid ?? undefined,
      directory: `${dependencies.sessionsFolder}/${lease.sessionId}`,
      fence: lease.fence,
      programSessionId: session.programSessionId ?? undefined,
      program: { program: agent.program, command: agent.programCommand },
      onProgress: (progress) => log.add({ type: 'tagalong.program_install', payload: { ...progress } }),
      signal,
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
      endings.get(sessionId)?.order('stopped');
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
