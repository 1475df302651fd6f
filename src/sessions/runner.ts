import { EventEmitter } from 'node:events';
import { type Runner, Logger as RunnerLogger, run, type TaskList, type WorkerEvents } from 'graphile-worker';
import pg from 'pg';
import type { Logger } from 'pino';
import type { Jobs } from '../store/jobs.ts';

export type JobHandlers = { [Task in keyof Jobs]: (payload: Jobs[Task]) => Promise<void> };

export interface RunnerOptions {
  databaseUrl: string;
  handlers: JobHandlers;
  tasks: readonly (keyof Jobs)[];
  concurrency: number;
  /** Told the name under which each of its workers locks jobs. */
  onJobWorker(jobWorkerId: string): void;
  logger: Logger;
}

/**
 * Runs jobs of these tasks until it is stopped. A runner that gives up (it does when it cannot report a job's end, as
 * while Postgres restarts) is started again.
 */
export async function startRunner(options: RunnerOptions): Promise<{ stop(): Promise<void> }> {
  const { logger, tasks } = options;
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: Math.min(options.concurrency, 8) + 2,
  });
  const onError = (error: Error) => logger.debug({ err: error }, 'a connection of the job runner broke');
  pool.on('error', onError);
  pool.on('connect', (client) => client.on('error', onError));
  const taskList: TaskList = Object.fromEntries(
    tasks.map((task) => {
      const handle = options.handlers[task] as (payload: unknown) => Promise<void>;
      return [task, (payload: unknown) => handle(payload)];
    }),
  );
  let stopping = false;

  const launch = (): Promise<Runner> => {
    const events: WorkerEvents = new EventEmitter();
    // Jobs are locked by the pool that fetched them, or by the worker that runs them.
    events.on('pool:create', ({ workerPool }) => options.onJobWorker(workerPool.id));
    events.on('worker:create', ({ worker }) => options.onJobWorker(worker.workerId));
    return run({
      pgPool: pool,
      taskList,
      concurrency: options.concurrency,
      events,
      parsedCronItems: [],
      noHandleSignals: true,
      pollInterval: 1_000,
      logger: new RunnerLogger((scope) => (level, message, meta) => {
        const line = { ...scope, err: meta?.error };
        if (level === 'error') logger.warn(line, message);
        else logger.debug(line, message);
      }),
    });
  };

  let runner = await launch();
  const supervise = (current: Runner) => {
    current.promise.catch(async (error: unknown) => {
      if (stopping) return;
      logger.warn({ err: error, tasks }, 'the job runner gave up and is started again');
      for (let waitMs = 250; !stopping; waitMs = Math.min(waitMs * 2, 5_000)) {
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        try {
          runner = await launch();
          supervise(runner);
          return;
        } catch (failure) {
          logger.debug({ err: failure }, 'the job runner did not start yet');
        }
      }
    });
  };
  supervise(runner);

  return {
    async stop() {
      stopping = true;
      await runner.stop().catch(() => {});
      await pool.end();
    },
  };
}
