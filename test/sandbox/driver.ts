/**
 * Runs as a process of its own, for tests that kill it or that give it descriptors: opens one sandbox, prints its
 * process id, then passes on what it writes. Arguments: home root, bash script; WORKSPACE_BYTES for a disk
 * of that size, and then how it was held and why the sandbox ended is the last line; AHEAD for so many that are made
 * ahead.
 */
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { pino } from 'pino';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { sessionUid } from '../../src/sandbox/uids.ts';
import { openHome } from '../../src/store/home.ts';
import { limits } from './harness.ts';

const workspaceBytes = Number(process.env.WORKSPACE_BYTES ?? 0);
const [, , root = '', script = ''] = process.argv;
const home = openHome(root);
const ownLimits = workspaceBytes > 0 ? { ...limits, workspaceBytes } : limits;
const count = Number(process.env.AHEAD ?? 0);
const port = createBubblewrapSandbox({
  home,
  logger: pino({ level: 'silent' }),
  ...(count > 0 ? { ahead: { count, limits: ownLimits } } : {}),
});
const sandbox = await port.open({
  sessionId: 'sesn_driver',
  uid: sessionUid(7),
  directory: join(home.open, 'sessions', 'driver'),
  mounts: [],
  command: ['/bin/bash', '-c', script],
  env: {},
  caCertificatePem: '',
  limits: ownLimits,
  onListener: async () => {},
});
process.stdout.write(`pid ${sandbox.pid}\n`);
sandbox.stdout.pipe(process.stdout);
// It has ended before all that it wrote is read.
const [{ reason }] = await Promise.all([sandbox.closed, finished(sandbox.stdout, { writable: false })]);
if (workspaceBytes > 0) process.stdout.write(`${sandbox.enforced.workspace}: ${reason}\n`);
process.exit(0);
