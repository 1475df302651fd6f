import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

/** The least that any CONNECT proxy in Node does: bytes both ways, nothing read. */
process.once('message', ({ ports }: { ports: Record<string, number> }) => {
  const server = createServer();
  server.on('connect', (request, client: Socket, head) => {
    const upstream = connect({
      port: ports[(request.url ?? '').split(':')[0] ?? ''] ?? 0,
      host: '127.0.0.1',
      noDelay: true,
    });
    client.setNoDelay(true);
    for (const socket of [client, upstream]) {
      socket.on('error', () => {
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.once('connect', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.write(head);
      client.pipe(upstream);
      upstream.pipe(client);
    });
  });
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
});
process.on('disconnect', () => process.exit(0));
