import type { Logger } from 'pino';
import type { Database } from '../store/connection.ts';
import type { Jobs } from '../store/jobs.ts';
import { listen } from '../store/listen.ts';
import { type JobHandlers, startRunner } from './runner.ts';
import { stopChannel } from './stop.ts';
import { beat, bury, buryDeadWorkers, heartbeatMs, type WorkerIdentity, wakeStranded } from './sweep.ts';

export interface WorkerOptions {
  database: Database;
  databaseUrl: string;
  identity: WorkerIdentity;
  handlers: JobHandlers;
  /** Called with the id of a session whose turn shall end. */
  onStop(sessionId: string): void;
  /** More that is looked after at the pace of the sweep. */
  sweeps: readonly (() => Promise<unknown>)[];
  /** What only grows old: looked after at the start and then once an hour. */
  housekeeping: readonly (() => Promise<unknown>)[];
  maxTurns: number;
  logger: Logger;
}

export interface Worker {
  /** Takes no new job, lets short ones end, and gives back what it holds. `endTurns` ends the running turns. */
  stop(endTurns: () => Promise<void>): Promise<void>;
}

const shortConcurrency = 8;
const housekeepingEveryMs = 3_600_000;
/** All but the one that runs as long as an agent does: a new kind of job has its runner without being named here. */
const isShort = (task: keyof Jobs): boolean => task !== 'turn';

/**
 * The worker role: two runners on the same job tables, so that long turns never starve routing, a heartbeat, and the
 * sweep that takes over from workers that died.
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { database, databaseUrl, identity, handlers, logger } = options;
  const jobWorkerIds: string[] = [];
  const onJobWorker = (id: string) => void jobWorkerIds.push(id);
  await buryDeadWorkers(database, identity);
  await wakeStranded(database);
  const common = { databaseUrl, handlers, onJobWorker, logger };
  const short = await startRunner({
    ...common,
    tasks: (Object.keys(handlers) as (keyof Jobs)[]).filter(isShort),
    concurrency: shortConcurrency,
  });
  const turns = await startRunner({ ...common, tasks: ['turn'], concurrency: options.maxTurns });
  await beat(database, identity, jobWorkerIds);

  let nextHousekeepingAt = 0;
  const sweep = async () => {
    await beat(database, identity, jobWorkerIds);
    const buried = await buryDeadWorkers(database, identity);
    if (buried > 0) logger.warn({ buried }, 'took over from workers that died');
    await wakeStranded(database);
    for (const each of options.sweeps) await each();
    if (Date.now() < nextHousekeepingAt) return;
    for (const each of options.housekeeping) await each();
    nextHousekeepingAt = Date.now() + housekeepingEveryMs;
  };
  let sweeping: Promise<void> | undefined;
  const heartbeat = setInterval(() => {
    sweeping ??= sweep()
      .catch((error: unknown) => logger.warn({ err: error }, 'the sweep failed and will be tried again'))
      .finally(() => {
        sweeping = undefined;
      });
  }, heartbeatMs);
  const stops = listen(databaseUrl, stopChannel, options.onStop);

  return {
    async stop(endTurns) {
      clearInterval(heartbeat);
      stops.close();
      await endTurns();
      await Promise.allSettled([short.stop(), turns.stop()]);
      await sweeping;
      await bury(database, identity.workerId);
    },
  };
}
