import { readFileSync } from 'node:fs';
import { sql } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { enqueue } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import { isHeld } from './held.ts';

/** A worker that said nothing for so long counts as dead. */
export const heartbeatMs = 2_000;
const deadAfterMs = 6_000;

export interface WorkerIdentity {
  workerId: string;
  host: string;
  pid: number;
}

/** Says that this worker lives, and under which names its runners lock jobs. */
export async function beat(
  database: Database,
  worker: WorkerIdentity,
  jobWorkerIds: readonly string[],
): Promise<void> {
  await database.execute(sql`
    insert into workers (id, host, pid, job_worker_ids, heartbeat_at)
    values (${worker.workerId}, ${worker.host}, ${worker.pid}, ${JSON.stringify(jobWorkerIds)}::jsonb, now())
    on conflict (id) do update set heartbeat_at = now(), job_worker_ids = excluded.job_worker_ids`);
}

interface WorkerRow extends Record<string, unknown> {
  id: string;
  host: string;
  pid: number;
  silent: boolean;
}

/**
 * Buries dead workers: opens the locks on their jobs, ends their leases, forgets them. A worker of this host whose
 * process is gone is dead at once, any other after its heartbeat stopped. Answers how many it buried.
 */
export async function buryDeadWorkers(
  database: Database,
  self: WorkerIdentity,
  isRunning: (pid: number) => boolean = processRuns,
): Promise<number> {
  const known = await database.execute<WorkerRow>(sql`
    select id, host, pid, heartbeat_at < now() - ${deadAfterMs} * interval '1 millisecond' as silent
    from workers where id <> ${self.workerId}`);
  const dead = known.rows
    .filter(
      (worker) =>
        worker.silent || (worker.host === self.host && (worker.pid === self.pid || !isRunning(worker.pid))),
    )
    .map((worker) => worker.id);
  for (const workerId of dead) await bury(database, workerId);
  return dead.length;
}

/** Ends all that this worker held; also what a worker does for itself when it stops in an orderly way. */
export async function bury(database: Database, workerId: string): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.execute(sql`
      select graphile_worker.force_unlock_workers(
        array(select jsonb_array_elements_text(job_worker_ids) from workers where id = ${workerId}))`);
    await tx.execute(
      sql`update sessions set lease_worker_id = null, lease_expires_at = null where lease_worker_id = ${workerId}`,
    );
    await tx.execute(
      sql`update anchors set lease_worker_id = null, lease_expires_at = null where lease_worker_id = ${workerId}`,
    );
    await tx.execute(sql`delete from workers where id = ${workerId}`);
  });
}

interface StrandedRow extends Record<string, unknown> {
  organization_id: string;
  session_id: string;
}

/**
 * Finds sessions with something to do that nobody holds, and gives each a turn job: what waited for its publication
 * too, once that is live again. Those whose job is only waiting
 * for its turn are left alone. Answers how many it found.
 */
export async function wakeStranded(database: Database): Promise<number> {
  const stranded = await database.execute<StrandedRow>(sql`
    select s.organization_id, s.id as session_id
    from sessions s
    where (s.lease_worker_id is null or s.lease_expires_at < now())
      and (
        exists (select from turns t where t.session_id = s.id and t.state = 'running')
        or exists (select from messages where messages.session_id = s.id and messages.state = 'waiting'
                   and messages.wakes and messages.created_at < now() - interval '5 seconds' and not ${isHeld})
      )
      and not exists (select from graphile_worker.jobs j where j.key = 'turn:' || s.id and j.attempts < j.max_attempts)
    limit 500`);
  for (const row of stranded.rows) {
    const { organization_id: organizationId, session_id: sessionId } = row;
    await withOrganization(database, organizationId, (tx) =>
      enqueue(tx, 'turn', { organizationId, sessionId }, { key: `turn:${sessionId}` }),
    );
  }
  return stranded.rows.length;
}

function processRuns(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
