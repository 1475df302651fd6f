import http from 'node:http';
import type net from 'node:net';
import tls from 'node:tls';
import { SessionAuthority } from '../../src/vault/egress/certificates.ts';
import type { ListenerHandle, ListenerRole } from '../../src/vault/egress/protocol.ts';

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse, host: string) => void;

export interface TestProxy {
  caCertificatePem: string;
  /** Targets of every CONNECT, `host:port`. */
  connects: string[];
  /** The proxy's listener; the others are left alone. */
  serve(handle: ListenerHandle, role?: ListenerRole): Promise<void>;
  close(): void;
}

/** A proxy that intercepts TLS with a CA of its own and answers every request itself: nothing leaves the process. */
export async function startTestProxy(handler: Handler): Promise<TestProxy> {
  const authority = await SessionAuthority.create();
  const connects: string[] = [];
  const servers: net.Server[] = [];
  const sockets = new Set<net.Socket>();
  const hosts = new WeakMap<object, string>();
  const inner = http.createServer((request, response) => {
    handler(request, response, hosts.get(request.socket) ?? request.headers.host ?? '');
  });

  async function onConnect(request: http.IncomingMessage, socket: net.Socket): Promise<void> {
    const target = request.url ?? '';
    connects.push(target);
    const [host = '', port] = target.split(':');
    socket.on('error', () => {});
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    let stream: net.Socket = socket;
    if (port === '443') {
      stream = new tls.TLSSocket(socket, { isServer: true, secureContext: await authority.contextFor(host) });
      stream.on('error', () => {});
    }
    hosts.set(stream, host);
    inner.emit('connection', stream);
  }

  return {
    caCertificatePem: authority.certificatePem,
    connects,
    async serve(handle, role = 'proxy') {
      if (role !== 'proxy') return;
      const server = http.createServer((request, response) => {
        handler(request, response, request.headers.host ?? '');
      });
      server.on('connection', (socket) => sockets.add(socket.setNoDelay(true)));
      server.on('connect', (request, socket) => void onConnect(request, socket as net.Socket));
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(handle, resolve));
    },
    close() {
      for (const server of servers) server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
