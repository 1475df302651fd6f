import { createServer } from 'node:net';
import { pino } from 'pino';
import { lowerBackgroundThreads } from '../../src/vault/egress/background-threads.ts';
import { systemConnect } from '../../src/vault/egress/dialing.ts';
import { Egress } from '../../src/vault/egress/egress.ts';
import type { EgressStart } from '../../src/vault/egress/protocol.ts';

export interface EgressOrder {
  start: Omit<EgressStart, 'type'>;
  /** Each gets a listener of its own. */
  sessions: { organizationId: string; sessionId: string }[];
  /** Which loopback port stands for which host. */
  ports: Record<string, number>;
}

/** A public address, so that what is resolved passes the check that it always passes. */
const address = '93.184.216.34';

lowerBackgroundThreads();

/**
 * The egress process with everything on. Names resolve to one public address, and that is dialled at loopback; its
 * certificate is checked as any, by an authority from `NODE_EXTRA_CA_CERTS`.
 */
process.once('message', async ({ start, sessions, ports }: EgressOrder) => {
  const egress = await Egress.start(start, {
    needs: {},
    logger: pino({ level: 'error' }),
    resolve: async () => [address],
    connect: (_address, _port, options) =>
      systemConnect('127.0.0.1', ports[options.servername ?? ''] ?? 0, options),
  });
  const doors: { port: number; ca: string }[] = [];
  for (const { organizationId, sessionId } of sessions) {
    const { caCertificatePem } = await egress.openSession(organizationId, sessionId);
    const { handle, port } = await listeningHandle();
    await egress.addListener(sessionId, handle);
    doors.push({ port, ca: caCertificatePem });
  }
  process.on('message', async () => {
    await egress.flush();
    process.send?.({});
  });
  process.send?.({ doors });
});
process.on('disconnect', () => process.exit(0));

/** As a sandbox's bootstrap makes it: listening, and nobody accepts on it yet. */
async function listeningHandle(): Promise<{ handle: object; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { _handle: handle } = server as unknown as { _handle: object };
  const bound = server.address();
  return { handle, port: typeof bound === 'object' && bound ? bound.port : 0 };
}
