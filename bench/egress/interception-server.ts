import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { type Dispatcher, Pool } from 'undici';
import type { UpstreamCertificate } from './certificate.ts';

export interface InterceptionOrder {
  ports: Record<string, number>;
  certificate: UpstreamCertificate;
  token: string;
}

/**
 * The least that a proxy in Node does which ends TLS and puts a token on: one certificate made beforehand, node:http
 * behind it, undici's dispatch to the upstream. It decides nothing, searches nothing and records nothing.
 */
process.once('message', ({ ports, certificate, token }: InterceptionOrder) => {
  const secureContext = createSecureContext({ key: certificate.key, cert: certificate.certificate });
  const pools = new Map(
    Object.entries(ports).map(([host, port]) => [host, poolFor(host, port, certificate.authority)]),
  );
  const inner = createServer((request, response) => {
    const pool = pools.get(request.headers.host ?? '');
    if (pool) pass(pool, token, request, response);
    else response.writeHead(421).end();
  });
  inner.keepAliveTimeout = 75_000;
  const front = createServer();
  front.on('connect', (_request, socket: Socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    const secure = new TLSSocket(socket, { isServer: true, secureContext });
    secure.on('error', () => secure.destroy());
    secure.once('secure', () => inner.emit('connection', secure));
  });
  front.listen(0, '127.0.0.1', () => process.send?.({ port: (front.address() as AddressInfo).port }));
});
process.on('disconnect', () => process.exit(0));

function poolFor(host: string, port: number, ca: string): Pool {
  return new Pool(`https://${host}`, {
    pipelining: 1,
    connect: (_options, done) => {
      const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true });
      const secure = connectTls({ socket, servername: host, ca }, () => done(null, secure));
      secure.once('error', (error) => done(error, null));
    },
  });
}

function pass(pool: Pool, token: string, request: IncomingMessage, response: ServerResponse): void {
  const headers: string[] = [];
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i] ?? '';
    if (/^(?:authorization|connection|transfer-encoding|expect)$/i.test(name)) continue;
    headers.push(name, request.rawHeaders[i + 1] ?? '');
  }
  headers.push('authorization', `Bearer ${token}`);
  const hasBody = 'content-length' in request.headers || 'transfer-encoding' in request.headers;
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseStart(controller, status) {
      response.writeHead(status, [controller.rawHeaders ?? []].flat().map(String));
    },
    onResponseData(controller, chunk) {
      if (response.write(chunk)) return;
      controller.pause();
      response.once('drain', () => controller.resume());
    },
    onResponseEnd: () => void response.end(),
    onResponseError: () => void response.destroy(),
  };
  pool.dispatch(
    {
      ...{ path: request.url ?? '/', headers, body: hasBody ? request : null },
      method: request.method as Dispatcher.HttpMethod,
    },
    handler,
  );
}
