/**
 * Runs as a process of its own, for tests that kill it or that give it descriptors: opens one sandbox, prints its
 * process id, then passes on what it writes. Arguments: home root, bash script.
 */
import { join } from 'node:path';
import { pino } from 'pino';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { sessionUid } from '../../src/sandbox/uids.ts';
import { openHome } from '../../src/store/home.ts';
import { limits } from './harness.ts';

const [, , root = '', script = ''] = process.argv;
const home = openHome(root);
const port = createBubblewrapSandbox({ home, logger: pino({ level: 'silent' }) });
const sandbox = await port.open({
  sessionId: 'sesn_driver',
  uid: sessionUid(7),
  directory: join(home.open, 'sessions', 'driver'),
  mounts: [],
  command: ['/bin/bash', '-c', script],
  env: {},
  caCertificatePem: '',
  limits,
  onListener: async () => {},
});
process.stdout.write(`pid ${sandbox.pid}\n`);
sandbox.stdout.pipe(process.stdout);
await sandbox.closed;
process.exit(0);
