import type { Logger } from 'pino';
import type { Database } from '../store/connection.ts';
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
  maxTurns: number;
  logger: Logger;
}

export interface Worker {
  /** Takes no new job, lets short ones end, and gives back what it holds. `endTurns` ends the running turns. */
  stop(endTurns: () => Promise<void>): Promise<void>;
}

const shortConcurrency = 8;

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
    tasks: ['route', 'presence', 'send'],
    concurrency: shortConcurrency,
  });
  const turns = await startRunner({ ...common, tasks: ['turn'], concurrency: options.maxTurns });
  await beat(database, identity, jobWorkerIds);

  const sweep = async () => {
    await beat(database, identity, jobWorkerIds);
    const buried = await buryDeadWorkers(database, identity);
    if (buried > 0) logger.warn({ buried }, 'took over from workers that died');
    await wakeStranded(database);
    for (const each of options.sweeps) await each();
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
