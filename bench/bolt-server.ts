import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import bolt from '@slack/bolt';

/** What Bolt's receiver does and no more: verify, parse, acknowledge. It keeps nothing. */
process.once('message', ({ secret }: { secret: string }) => {
  const receiver = new bolt.HTTPReceiver({ signingSecret: secret, logLevel: bolt.LogLevel.ERROR });
  receiver.init({
    processEvent: async (event: bolt.ReceiverEvent) => {
      await event.ack();
    },
  } as bolt.App);
  const server = createServer(receiver.requestListener);
  server.listen(0, '127.0.0.1', () => {
    process.send?.({ port: (server.address() as AddressInfo).port, path: '/slack/events' });
  });
});
process.on('disconnect', () => process.exit(0));
