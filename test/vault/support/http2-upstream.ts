import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http2';
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { Connect } from '../../../src/vault/egress/dialing.ts';

export interface Certificate {
  key: string;
  cert: string;
}

/** A certificate that signs itself, for these names. */
export function selfSigned(...names: string[]): Certificate {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-cert-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const alternatives = names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
  const line = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=test -addext';
  const more = [`subjectAltName=${alternatives}`, '-keyout', key, '-out', cert];
  execFileSync('openssl', [...line.split(' '), ...more], { stdio: 'ignore' });
  const made = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  rmSync(folder, { recursive: true });
  return made;
}

export interface Http2Upstream {
  port: number;
  server: Http2SecureServer;
  /** Which protocol each connection agreed on. */
  protocols: string[];
  seen: IncomingHttpHeaders[];
  answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => unknown;
  /** Dials it in the place of whatever address, with the name checked as always. */
  connect: Connect;
  close(): void;
}

/** A real HTTP/2 server over TLS in a vendor's place. */
export async function startHttp2Upstream(host: string, allowHTTP1 = true): Promise<Http2Upstream> {
  const certificate = selfSigned(host);
  const server = createSecureServer({ ...certificate, allowHTTP1 });
  const sockets = new Set<Socket>();
  const upstream: Http2Upstream = {
    port: 0,
    server,
    protocols: [],
    seen: [],
    answer: (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('ok');
    },
    connect: (_address, _port, { servername, http2 }) =>
      new Promise((resolve, reject) => {
        const socket = connectTls(
          {
            ...{ host: '127.0.0.1', port: upstream.port, ca: certificate.cert },
            ...(servername === null ? {} : { servername }),
            ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
          },
          () => resolve(socket),
        );
        socket.once('error', reject);
      }),
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    upstream.protocols.push(String(socket.alpnProtocol));
  });
  server.on('request', (request, response) => {
    if (request.httpVersion === '1.1') response.end(`over ${request.httpVersion}`);
  });
  // Node's own layer over streams, which comes with the handler of requests, would answer them too.
  server.removeAllListeners('stream');
  server.on('sessionError', () => {});
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    upstream.seen.push(headers);
    upstream.answer(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  upstream.port = (server.address() as AddressInfo).port;
  return upstream;
}
