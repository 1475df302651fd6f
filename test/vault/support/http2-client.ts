import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type Door, openTunnel } from './client.ts';

/** A tunnel with TLS in it that has agreed on HTTP/2. */
export async function openHttp2Tunnel(door: Door, host: string): Promise<TLSSocket> {
  const socket = await openTunnel(door.port, `${host}:443`);
  if (typeof socket === 'string') throw new Error(socket);
  return new Promise((resolve, reject) => {
    const secure = connectTls({ socket, servername: host, ca: door.ca, ALPNProtocols: ['h2'] }, () =>
      secure.alpnProtocol === 'h2' ? resolve(secure) : reject(new Error('no HTTP/2 was agreed on')),
    );
    secure.once('error', reject);
  });
}

/** Node's own client of HTTP/2, in a tunnel. */
export async function connectHttp2(door: Door, host: string): Promise<ClientHttp2Session> {
  const secure = await openHttp2Tunnel(door, host);
  const session = connect(`https://${host}`, { createConnection: () => secure });
  session.on('error', () => {});
  return session;
}

export interface Http2Answer {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  trailers: IncomingHttpHeaders;
  body: string;
  /** The code of the RST_STREAM that ended it, if one did. */
  code: number | undefined;
}

/** One request; resolves at its end, however that is. */
export function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<Http2Answer> {
  return new Promise((resolve) => {
    const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined });
    const answer: Http2Answer = { status: undefined, headers: {}, trailers: {}, body: '', code: undefined };
    stream.on('response', (got) => {
      answer.headers = got;
      answer.status = got[':status'];
    });
    stream.on('trailers', (got) => {
      answer.trailers = got;
    });
    stream.on('data', (chunk: Buffer) => {
      answer.body += chunk.toString('latin1');
    });
    stream.on('error', () => {});
    stream.on('close', () => resolve({ ...answer, code: stream.rstCode }));
    if (body !== undefined) stream.end(body);
  });
}
