import pino from 'pino';
import { createGatewaySecrets } from '../src/gateway/secrets.ts';
import { createGateway, listenGateway } from '../src/gateway/server.ts';
import { ignoreReasons } from '../src/providers/ignore-reasons.ts';
import { adapters } from '../src/providers/index.ts';
import { connect } from '../src/store/connection.ts';
import { connectInbox } from '../src/store/inbox.ts';
import { deriveStateKey, deriveWebhookKey } from '../src/vault/keys.ts';

/** The whole gateway as the server runs it, in a process of its own. */
process.once(
  'message',
  async ({
    databaseUrl,
    rootKey,
    publicationId,
  }: Record<'databaseUrl' | 'rootKey' | 'publicationId', string>) => {
    const gateway = createGateway({
      database: connect({ url: databaseUrl }),
      databaseUrl,
      inbox: connectInbox(databaseUrl),
      adapters,
      ignoreReasons,
      secrets: createGatewaySecrets(
        deriveWebhookKey(Buffer.from(rootKey, 'base64url')),
        deriveStateKey(Buffer.from(rootKey, 'base64url')),
      ),
      platformFetch: () => fetch,
      config: { baseUrl: 'http://127.0.0.1' },
      consoleFolder: undefined,
      clock: () => new Date(),
      logger: pino({ level: 'error' }),
    });
    const { port } = await listenGateway(gateway, { host: '127.0.0.1', port: 0 });
    process.send?.({ port, path: `/webhooks/slack/${publicationId}` });
  },
);
process.on('disconnect', () => process.exit(0));
