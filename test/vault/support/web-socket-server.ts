import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/** Accepts a WebSocket and answers each short text with `echo <text>`, in frames written by hand. */
export function echoWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Tagalong-Forged: 1\r\nAlt-Svc: h3=":443"\r\n\r\n`,
  );
  socket.on('error', () => {});
  let held = head;
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 6) {
      const length = (held[1] ?? 0) & 0x7f;
      if (held.length < 6 + length) return;
      const mask = held.subarray(2, 6);
      const payload = Buffer.from(held.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i % 4] ?? 0)));
      const opcode = (held[0] ?? 0) & 0xf;
      held = held.subarray(6 + length);
      if (opcode === 8) {
        socket.end(Buffer.concat([Buffer.from([0x88, payload.length]), payload]));
      } else {
        const text = Buffer.concat([Buffer.from('echo '), payload]);
        socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
      }
    }
  });
}
