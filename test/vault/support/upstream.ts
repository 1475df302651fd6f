import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';

export interface Seen {
  method: string;
  url: string;
  rawHeaders: string[];
  headers: IncomingMessage['headers'];
  trailers: IncomingMessage['trailers'];
  body: string;
}

export interface Upstream {
  origin: string;
  port: number;
  seen: Seen[];
  /** Every byte that any connection sent. */
  raw(): string;
  /** What to answer; 200 `{"ok":true}` by default. */
  answer: (request: IncomingMessage, response: ServerResponse, seen: Seen) => unknown;
  close(): void;
}

/** A loopback HTTP server in a vendor's place that keeps all it is asked. */
export async function startUpstream(): Promise<Upstream> {
  const chunks: Buffer[] = [];
  const server = createServer({ requireHostHeader: false }, async (request, response) => {
    const body = await text(request).catch(() => '(cut)');
    const { method = '', url = '', rawHeaders, headers, trailers } = request;
    const seen: Seen = { method, url, rawHeaders, headers, trailers, body };
    upstream.seen.push(seen);
    await upstream.answer(request, response, seen);
  });
  server.on('connection', (socket: Socket) => {
    socket.prependListener('data', (chunk: Buffer) => chunks.push(chunk));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const upstream: Upstream = {
    origin: `http://127.0.0.1:${port}`,
    port,
    seen: [],
    raw: () => Buffer.concat(chunks).toString('latin1'),
    answer: (_request, response) => {
      response.setHeader('content-type', 'application/json');
      response.end('{"ok":true}');
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return upstream;
}
