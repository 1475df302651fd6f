// Listens on loopback and gives the raw listening handle to its parent, as a sandbox's bootstrap does.
import { createServer } from 'node:net';

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  process.send({ port: server.address().port }, server._handle, () => process.exit(0));
});
