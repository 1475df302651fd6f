import type { Pool } from 'pg';
import type { PlainAnswer } from './plain-answers.ts';

/** A worker that has not shown itself for this long counts as gone. */
export const heartbeatMaxAgeMs = 15_000;

const answer = (status: number, body: Record<string, unknown>): PlainAnswer => ({
  status,
  contentType: 'application/json; charset=utf-8',
  body: JSON.stringify(body),
  headers: { 'cache-control': 'no-store' },
});

/** `GET /health`: the process is up and answers. Looks at nothing else. */
export function health(): PlainAnswer {
  return answer(200, { status: 'ok' });
}

/** `GET /ready`: 200 when the database answers and a worker's heartbeat is fresh, else 503 and which of them fails. */
export async function readiness(pool: Pool): Promise<PlainAnswer> {
  try {
    // Compared by the database's clock, which also stamped the heartbeat.
    const { rows } = await pool.query<{ workers: number }>({
      text: `select count(*)::int as workers from workers where heartbeat_at > now() - make_interval(secs => $1)`,
      values: [heartbeatMaxAgeMs / 1000],
    });
    const isReady = (rows[0]?.workers ?? 0) > 0;
    return answer(isReady ? 200 : 503, {
      status: isReady ? 'ready' : 'not_ready',
      database: 'ok',
      worker: isReady ? 'ok' : 'no heartbeat within 15 s',
    });
  } catch {
    return answer(503, { status: 'not_ready', database: 'no answer', worker: 'unknown' });
  }
}
