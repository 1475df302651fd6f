import { desc, eq, gt, sql } from 'drizzle-orm';
import type { Config } from '../config.ts';
import { ensureOrganization } from '../gateway/access.ts';
import { readReason, whyOf } from '../gateway/why.ts';
import { ignoreReasons } from '../providers/ignore-reasons.ts';
import type { Database } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { deliveries } from '../store/schema.ts';
import { withRunningDatabase } from './running-database.ts';

const maxShown = 10;

/**
 * What in a delivery's body tells of a message, by the link that people copy: Slack's message, GitHub's comment or
 * issue, Linear's comment or issue. Undefined for what is no such link. Pure.
 */
export function traceOf(permalink: string): string | undefined {
  const slack = /\/archives\/[A-Z0-9]+\/p(\d{10})(\d{6})/.exec(permalink);
  if (slack) return `"ts":"${slack[1]}.${slack[2]}"`;
  const url = /^https?:\/\/[^\s"'\\]+$/.test(permalink) ? permalink.replace(/[?].*$/, '') : undefined;
  return url;
}

/** Says why a delivery, or what a link shows, did or did not reach the agent. Answers the exit code. */
export function why(config: Config, subject: string): Promise<number> {
  return withRunningDatabase(config, async (database) => {
    const found = await find(database, await ensureOrganization(database), subject);
    if (found.length === 0) {
      process.stdout.write(
        'Nothing is known of it: no such delivery came, or it is older than what is kept. Check at the provider whether its webhooks arrive.\n',
      );
      return 1;
    }
    for (const row of found) {
      const { code, detail } = readReason(row.reason);
      const sentence = whyOf(row.outcome, code, detail, ignoreReasons);
      process.stdout.write(
        `${row.id}  ${row.receivedAt.toISOString()}  ${row.outcome}${code ? ` (${code})` : ''}\n  ${sentence}\n`,
      );
    }
    return 0;
  });
}

function find(database: Database, organizationId: string, subject: string) {
  const trace = traceOf(subject);
  const columns = {
    id: deliveries.id,
    outcome: deliveries.outcome,
    reason: deliveries.reason,
    receivedAt: deliveries.receivedAt,
  };
  return withOrganization(database, organizationId, (tx) => {
    const query = tx.select(columns).from(deliveries);
    const matching =
      trace === undefined
        ? query.where(eq(deliveries.id, subject))
        : query.where(gt(sql`position(${Buffer.from(trace)}::bytea in ${deliveries.body})`, 0));
    return matching.orderBy(desc(deliveries.id)).limit(maxShown);
  });
}
