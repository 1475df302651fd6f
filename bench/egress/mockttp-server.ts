import { createRequire } from 'node:module';
import { join } from 'node:path';

/** What is used of mockttp, which is installed for the bench only. */
interface Mockttp {
  getLocal(options: object): {
    port: number;
    start(): Promise<void>;
    forAnyRequest(): { forHostname(host: string): { thenPassThrough(options: object): Promise<unknown> } };
  };
  generateCACertificate(): Promise<{ key: string; cert: string }>;
}

interface Order {
  folder: string;
  ports: Record<string, number>;
  token: string;
  authority: string;
}

/** mockttp as a proxy that ends TLS and puts one header on. */
process.once('message', async ({ folder, ports, token, authority }: Order) => {
  const mockttp: Mockttp = createRequire(join(folder, 'package.json'))('mockttp');
  const https = await mockttp.generateCACertificate();
  const server = mockttp.getLocal({ https, recordTraffic: false, cors: false });
  await server.start();
  for (const [host, port] of Object.entries(ports)) {
    await server
      .forAnyRequest()
      .forHostname(host)
      .thenPassThrough({
        additionalTrustedCAs: [{ cert: authority }],
        transformRequest: {
          updateHeaders: { authorization: `Bearer ${token}` },
          replaceHost: { targetHost: `localhost:${port}`, updateHostHeader: false },
        },
      });
  }
  process.send?.({ port: server.port, ca: https.cert });
});
process.on('disconnect', () => process.exit(0));
