import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { GatewayDeps } from './deps.ts';
import { EventFeed } from './event-feed.ts';
import { health, readiness } from './health.ts';
import { isOwnHost } from './host-check.ts';
import { type PlainAnswer, plainAnswers, sendEarly, sendPlain } from './plain-answers.ts';
import { createRestApp } from './rest/app.ts';
import { createWebhookDoorway } from './webhooks.ts';

export interface Gateway {
  /** For node:http; `listenGateway` serves it. */
  listener: RequestListener;
  /** Body bytes of webhooks that are held at this moment. */
  readonly bytesInFlight: number;
  /** Ends event streams and what the gateway opened itself. The database pools stay the caller's. */
  close(): Promise<void>;
}

/** Puts the gateway together: webhooks and health on bare node:http, the REST API and the console behind them. */
export function createGateway(deps: GatewayDeps): Gateway {
  const { slack, github, linear } = deps.adapters;
  const doorway = createWebhookDoorway({
    pool: deps.inbox,
    rules: { slack: slack.webhook, github: github.webhook, linear: linear.webhook },
    secrets: deps.secrets,
    clock: deps.clock,
    logger: deps.logger,
    ...(deps.webhookLimits ? { limits: deps.webhookLimits } : {}),
  });
  const feed = new EventFeed(deps.databaseUrl);
  const closing = new AbortController();
  const rest = createRestApp(deps, {
    feed,
    closing: closing.signal,
    onPublicationChanged: doorway.forget,
    wasChallenged: doorway.wasChallenged,
  });
  const restListener = getRequestListener(rest.app.fetch, { overrideGlobalObjects: false });
  const baseUrl = new URL(deps.config.baseUrl);

  const listener = (request: IncomingMessage, response: ServerResponse) => {
    if (doorway.handle(request, response)) return;
    // Probes of load balancers come with an address as their Host.
    if (request.url === '/health') return sendEarly(request, response, health());
    if (request.url === '/ready') {
      void readiness(deps.inbox).then((answer: PlainAnswer) => sendEarly(request, response, answer));
      return;
    }
    if (!isOwnHost(request.headers.host, baseUrl, request.socket.localPort)) {
      return sendEarly(request, response, plainAnswers.foreignHost);
    }
    restListener(request, response).catch((error: unknown) => {
      deps.logger.error({ err: error }, 'a request failed outside of its handler');
      sendPlain(response, plainAnswers.broken);
    });
  };

  return {
    listener,
    get bytesInFlight() {
      return doorway.bytesInFlight;
    },
    async close() {
      closing.abort();
      feed.close();
      await rest.close();
    },
  };
}

export interface ListenOptions {
  host: string;
  /** 0 for any free one. */
  port: number;
  /** How long a whole request may take to arrive. */
  requestTimeoutMs?: number;
}

export interface ListeningGateway {
  port: number;
  /** Takes no more connections, waits for the requests in progress for `graceMs`, then cuts off what is left. */
  close(graceMs?: number): Promise<void>;
}

/** Serves a gateway. Rejects when the port cannot be had. */
export function listenGateway(
  gateway: Pick<Gateway, 'listener' | 'close'>,
  { host, port, requestTimeoutMs = 15_000 }: ListenOptions,
): Promise<ListeningGateway> {
  const server = createServer(
    {
      requestTimeout: requestTimeoutMs,
      headersTimeout: Math.min(10_000, requestTimeoutMs),
      connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
      // Above the usual minute of load balancers, so that they end idle connections and not we.
      keepAliveTimeout: 65_000,
      noDelay: true,
    },
    gateway.listener,
  );
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve({
        port: (server.address() as AddressInfo).port,
        async close(graceMs = 2_000) {
          const closed = new Promise<void>((done) => server.close(() => done()));
          await gateway.close();
          server.closeIdleConnections();
          const timer = setTimeout(() => server.closeAllConnections(), graceMs);
          await closed;
          clearTimeout(timer);
        },
      });
    });
  });
}
