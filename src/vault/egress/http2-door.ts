import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { type IncomingBody, incomingBody } from './bodies.ts';
import type { ClientRequest } from './client-messages.ts';
import { maxHeaderBytes, readHttp2Head } from './http2-head.ts';
import { Http2Response } from './http2-response.ts';
import type { Refusal } from './refusal.ts';
import { maxHeaders } from './request-gate.ts';

/** Without a request for this long a connection is ended, as over HTTP/1.1. */
const idleTimeoutMs = 75_000;
/** PING and SETTINGS cost us an answer each; more than this in one window is a flood. */
const maxControlFrames = 200;
const controlWindowMs = 10_000;
const streamWindowBytes = 128 * 1024;

/**
 * What one connection may cost. The rest is nghttp2's own: at most 8 CONTINUATION frames for one header block, at
 * most 1,000 acknowledgements that the client does not read.
 */
const sessionOptions = {
  settings: {
    maxConcurrentStreams: 100,
    maxHeaderListSize: maxHeaderBytes,
    initialWindowSize: streamWindowBytes,
    enableConnectProtocol: false,
  },
  // Beside the four pseudo fields; one more than the gate takes, so that it is the gate that answers.
  maxHeaderListPairs: maxHeaders + 5,
  // An upstream may say twice what is said once; that is passed on as it is, as over HTTP/1.1.
  strictSingleValueFields: false,
  /** Megabytes. */
  maxSessionMemory: 10,
  maxSettings: 32,
  maxOutstandingPings: 10,
  maxSessionInvalidFrames: 50,
  maxSessionRejectedStreams: 50,
  /** A client may take back this many requests at once, and this many in each second. */
  streamResetBurst: 200,
  streamResetRate: 50,
} as const;

export interface Http2Handlers {
  /** One request, in the form of HTTP/1.1. */
  request(request: ClientRequest, response: Http2Response): unknown;
  /** One that has no such form. */
  refused(refusal: Refusal, response: Http2Response, method: string): void;
  /** What comes is no HTTP/2, or too much of it; the connection is over. */
  broken(why: string): void;
}

/** Speaks HTTP/2 as the server on a client's connection, once TLS has agreed on it. */
export function serveHttp2(secure: TLSSocket, on: Http2Handlers): void {
  const session = performServerHandshake(secure, sessionOptions);
  // The session waits for this event, which Node emits for TLS sockets of its own servers and clients only.
  secure.emit('secureConnect');
  // Half-open, as all sockets of an HTTP server are: a client that ends its side has left.
  secure.once('end', () => secure.destroy());
  boundControlFrames(session, on);
  boundIdleness(session);
  session.on('error', (error: NodeJS.ErrnoException) => {
    // Any other is the connection's, which a client may leave as it likes.
    if (error.code?.startsWith('ERR_HTTP2')) on.broken(error.message);
  });
  session.on('stream', (stream, headers, flags, fields) => {
    const response = new Http2Response(stream);
    // The typings know the raw fields only as a list of something.
    const raw = Array.isArray(fields) ? fields.map(String) : [];
    const bodyFollows = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0;
    const read = readHttp2Head(raw, bodyFollows);
    if (!read.ok) return on.refused(read.refusal, response, String(headers[':method'] ?? '?'));
    const { method, httpVersion, rawHeaders, url } = read.head;
    const body = bodyFollows ? bodyOf(stream) : incomingBody(stream);
    on.request({ method, url, httpVersion, rawHeaders, body }, response);
  });
}

function bodyOf(stream: ServerHttp2Stream): IncomingBody {
  let trailers: string[] = [];
  stream.once('trailers', (_named, _flags, fields) => {
    trailers = Array.isArray(fields) ? fields.map(String) : [];
  });
  return incomingBody(stream, () => trailers);
}

function boundControlFrames(session: ServerHttp2Session, on: Http2Handlers): void {
  let since = 0;
  let frames = 0;
  const count = () => {
    const now = performance.now();
    if (now - since > controlWindowMs) {
      since = now;
      frames = 0;
    }
    frames += 1;
    if (frames !== maxControlFrames) return;
    on.broken('a flood of control frames');
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  };
  session.on('ping', count);
  session.on('remoteSettings', count);
}

function boundIdleness(session: ServerHttp2Session): void {
  let open = 0;
  let timer: NodeJS.Timeout | undefined;
  const wait = () => {
    timer = setTimeout(() => session.close(), idleTimeoutMs);
    timer.unref();
  };
  wait();
  session.on('stream', (stream) => {
    open += 1;
    clearTimeout(timer);
    stream.once('close', () => {
      open -= 1;
      if (open === 0 && !session.closed) wait();
    });
  });
  session.once('close', () => clearTimeout(timer));
}
