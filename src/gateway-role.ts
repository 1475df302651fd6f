import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Config } from './config.ts';
import type { FlowDeps } from './gateway/publish/deps.ts';
import { createGateway, listenGateway } from './gateway/server.ts';
import { ignoreReasons } from './providers/ignore-reasons.ts';
import { adapters } from './providers/index.ts';
import { createDirectSessions } from './sessions/direct.ts';
import { sessionPort } from './sessions/session-port.ts';
import { connectInbox } from './store/inbox.ts';
import type { WorkplaceHandle } from './workplace/client.ts';

/** What publishing needs, with the address that is known once the gateway listens. */
export type Publishing = FlowDeps;

export interface GatewayParts {
  config: Config;
  databaseUrl: string;
  publishing: Publishing;
  workplace: WorkplaceHandle | undefined;
}

/** Puts the gateway together and listens. Answers its port and how to stop it. */
export async function startGatewayRole(
  parts: GatewayParts,
): Promise<{ port: number; stop(): Promise<void> }> {
  const { config, publishing } = parts;
  const inbox = connectInbox(parts.databaseUrl);
  const consoleFolder = fileURLToPath(new URL('../console/dist', import.meta.url));
  const gateway = createGateway({
    ...publishing,
    databaseUrl: parts.databaseUrl,
    inbox,
    ignoreReasons,
    sessions: createDirectSessions(publishing.database),
    approvals: { adapters, sessions: sessionPort },
    consoleFolder: existsSync(consoleFolder) ? consoleFolder : undefined,
    ...(parts.workplace ? { workplace: parts.workplace } : {}),
  });
  const listening = await listenGateway(gateway, { host: config.host, port: config.port });
  return {
    port: listening.port,
    async stop() {
      await listening.close();
      await inbox.end();
    },
  };
}
