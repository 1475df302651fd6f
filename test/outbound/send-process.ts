/** A worker that sends for one anchor, as a process that can be killed. Arguments: database URL, cloud URL, ids. */
import { createSendJob } from '../../src/outbound/send.ts';
import { sessionPort } from '../../src/sessions/session-port.ts';
import { connect } from '../../src/store/connection.ts';
import { Cloud, cloudAdapters } from './cloud.ts';
import { silent } from './stage.ts';

const [databaseUrl = '', cloudUrl = '', organizationId = '', anchorId = ''] = process.argv.slice(2);
const database = connect({ url: databaseUrl });
await createSendJob({
  database,
  sessions: sessionPort,
  adapters: cloudAdapters(new Cloud()),
  platformFetch: () => (input, init) => fetch(new URL(new URL(String(input)).pathname, cloudUrl), init),
  workerId: `worker_${process.pid}`,
  clock: () => new Date(),
  logger: silent,
  limits: { leaseMs: 3_600_000 },
})({ organizationId, anchorId });
await database.$client.end();
