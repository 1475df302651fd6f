import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { small } from './upstream.ts';

const block = Buffer.alloc(64 * 1024, 'abcdefghijklmnopqrstuvwxyz0123456789');

/** What nginx cannot be asked for, and where there is no nginx, all: small answers, streams, uploads and events. */
process.once('message', ({ key, certificate, token }: Record<string, string>) => {
  const server = createServer({ key, cert: certificate, keepAliveTimeout: 0 }, (request, response) => {
    if (request.headers.authorization !== `Bearer ${token}`) return void response.writeHead(403).end();
    const [path, size = '0'] = (request.url ?? '').split('?');
    if (path === '/small') return void response.writeHead(200, { 'content-length': small.length }).end(small);
    if (path === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      // The clock is the machine's, the same in every process.
      const timer = setInterval(() => response.write(`data: ${process.hrtime.bigint()}\n\n`), 10);
      return void response.once('close', () => clearInterval(timer));
    }
    if (request.method === 'PUT') {
      request.resume();
      return void request.once('end', () => response.writeHead(200, { 'content-length': 0 }).end());
    }
    response.writeHead(200, { 'content-length': size });
    let left = Number(size);
    const more = () => {
      while (left > 0) {
        const piece = block.subarray(0, Math.min(left, block.length));
        left -= piece.length;
        if (!response.write(piece)) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  });
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
});
process.on('disconnect', () => process.exit(0));
