import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { connectAgent } from './agents/client.ts';
import { createPrograms } from './agents/profiles/index.ts';
import { createInstaller } from './agents/profiles/install.ts';
import type { ModelVendor } from './agents/profiles/names.ts';
import type { Config } from './config.ts';
import { forgetConsoleTokens } from './gateway/access.ts';
import { createNotifyJob } from './gateway/notices/notify-job.ts';
import { createConfirmJob } from './gateway/publish/confirm-job.ts';
import { forgetPublishTokens } from './gateway/publish/tokens.ts';
import { expireApprovals } from './outbound/approvals/sweep.ts';
import { createInternalServer } from './outbound/internal.ts';
import { createPresenceJob } from './outbound/presence.ts';
import { submitFailure, submitReply } from './outbound/reply.ts';
import { createSendJob } from './outbound/send.ts';
import { sweepOutbox } from './outbound/sweep.ts';
import { adapters } from './providers/index.ts';
import { createSandbox } from './sandbox/create.ts';
import { sessionUid } from './sandbox/uids.ts';
import { LiveSessions } from './sessions/live.ts';
import { createResumeJob, resumeStranded } from './sessions/resume.ts';
import { createRouteJob } from './sessions/route.ts';
import { sessionPort } from './sessions/session-port.ts';
import { createTurnRunner } from './sessions/turn.ts';
import { startWorker } from './sessions/worker.ts';
import type { Database } from './store/connection.ts';
import type { Home } from './store/home.ts';
import { newId } from './store/ids.ts';
import { forgetBodies, forgetDeliveryKeys } from './store/inbox.ts';
import type { RunningEgress } from './vault/egress/control.ts';

const limits = {
  memoryBytes: 2 * 1024 ** 3,
  maxProcesses: 512,
  maxFileBytes: 4 * 1024 ** 3,
  maxOpenFiles: 4_096,
} as const;
/** Kept ready for sessions to come: each is an idle Node, and a small file. */
const sandboxesAhead = 2;
const idleMs = 60_000;
const maxTurnMs = 30 * 60_000;
const bodiesKeptMs = 7 * 24 * 3_600_000;
const keysKeptMs = 30 * 24 * 3_600_000;
export interface WorkerParts {
  config: Config;
  home: Home;
  databaseUrl: string;
  database: Database;
  egress: RunningEgress;
  internalSocket: string;
  /** Whose models answer: by a key, by an origin of the operator's, or offline. */
  modelVendors: readonly ModelVendor[];
  logger: Logger;
  clock: () => Date;
}

/** Puts the worker together: jobs, turns in sandboxes, the MCP door, the outbox. Answers how to stop it. */
export async function startWorkerRole(parts: WorkerParts): Promise<() => Promise<void>> {
  const { config, home, databaseUrl, database, egress, logger, clock } = parts;
  const workerId = newId('worker');
  const outbound = {
    database,
    adapters,
    platformFetch: egress.platformFetch.bind(egress),
    checkOutbound: egress.checkText.bind(egress),
    logger,
    clock,
    workerId,
    databaseUrl,
    sessions: sessionPort,
  };
  const internal = createInternalServer(outbound);
  await internal.listen(parts.internalSocket);
  const sandboxLimits = {
    ...limits,
    ...(config.workspaceBytes === undefined ? {} : { workspaceBytes: config.workspaceBytes }),
    ...(config.sessionProcessors === undefined ? {} : { processors: config.sessionProcessors }),
  };
  const ahead = { count: sandboxesAhead, limits: sandboxLimits };
  const sandbox = createSandbox(config.sandbox, { home, logger, ahead });
  const live = new LiveSessions({
    sandbox,
    egress,
    connectAgent,
    openProgram: createPrograms({
      home,
      install: createInstaller({ home, environment: process.env }),
      vendors: parts.modelVendors,
      customFolder: config.customPrograms,
    }),
    logger,
    limits: sandboxLimits,
    idleMs,
    maxLive: config.maxTurns * 2,
  });
  const turns = createTurnRunner({
    database,
    live,
    egress,
    outbound: {
      reply: async (tx, reply) => void (await submitReply(tx, adapters, reply)),
      failure: async (tx, failure) => void (await submitFailure(tx, adapters, failure)),
    },
    workerId,
    sessionsFolder: join(home.open, 'sessions'),
    firstUid: sessionUid(0),
    logger,
    maxTurnMs,
  });
  const route = createRouteJob(outbound);
  const worker = await startWorker({
    database,
    databaseUrl,
    identity: { workerId, host: hostname(), pid: process.pid },
    handlers: {
      route,
      resume: createResumeJob({ database, logger }, route),
      presence: createPresenceJob(outbound),
      send: createSendJob(outbound),
      confirm: createConfirmJob(outbound),
      notify: createNotifyJob({ database, notify: egress.notify.bind(egress), clock, config }),
      turn: (job) => turns.run(job),
    },
    onStop: (sessionId) => void turns.stop(sessionId),
    sweeps: [() => sweepOutbox(database), () => expireApprovals(database, outbound, clock())],
    housekeeping: [
      () => resumeStranded(database),
      () => forgetBodies(database, new Date(Date.now() - bodiesKeptMs)),
      () => forgetDeliveryKeys(database, new Date(Date.now() - keysKeptMs)),
      () => forgetPublishTokens(database, clock()),
      () => forgetConsoleTokens(database, clock()),
    ],
    maxTurns: config.maxTurns,
    logger,
  });
  return async () => {
    await worker.stop(() => turns.shutDown());
    await sandbox.close();
    await internal.close();
  };
}
