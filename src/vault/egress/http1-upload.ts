import { Readable } from 'node:stream';
import { errors } from 'undici';
import type { Lane } from './fair-queue.ts';
import { passedBy } from './garbage.ts';
import { type UpstreamRequest, writeEnd } from './http1-outgoing.ts';
import { type Sink, writeJoined } from './joined-writes.ts';
import { PacedStream } from './pace.ts';

export interface UploadOptions {
  body: Readable;
  /** A connection, or a stream of one that frames what is written itself. */
  sink: Sink;
  /** What goes before the body: with its first piece, so that of a body that breaks before it nothing is sent. */
  head: string;
  isChunked: boolean;
  /** Asked at the end of a body in chunks. */
  trailers: UpstreamRequest['trailers'];
  /** It must have just so many bytes. */
  announcedBytes: number | undefined;
  /** In which it waits. */
  lane: Lane | undefined;
  onPiece(piece: Buffer): void;
  /** All of it was sent. */
  onSent(): void;
  onFailed(error: Error): void;
}

/** A body on its way up, as fast as its session's turns let it and the upstream takes it. */
export interface Upload {
  /** The upstream takes more. */
  drained(): void;
  /** Sends no more; what was not read of the body is not wanted. */
  stop(): void;
}

/** A body that is there as a whole is sent at once up to this size, and larger ones in turns as any. */
export const maxAtOnceBytes = 128 * 1024;
const pieceBytes = 64 * 1024;

/** A body as it is sent piece by piece. */
export function inPieces(body: Readable | Buffer): Readable {
  return Buffer.isBuffer(body) ? Readable.from(pieces(body)) : body;
}

function* pieces(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.byteLength; at += pieceBytes) yield body.subarray(at, at + pieceBytes);
}

/** Sends a body piece by piece, in chunks where its length is not known. */
export function startUpload(options: UploadOptions): Upload {
  const { body, sink, isChunked, trailers, announcedBytes, onPiece, onSent, onFailed } = options;
  const paced = new PacedStream(body, options.lane);
  let unsent = options.head;
  let bytes = 0;
  const onData = (piece: Buffer) => {
    bytes += piece.byteLength;
    passedBy(piece.byteLength);
    if (announcedBytes !== undefined && bytes > announcedBytes) {
      return onFailed(new errors.RequestContentLengthMismatchError());
    }
    onPiece(piece);
    paced.passed(piece.byteLength);
    if (!send(piece)) paced.full();
  };
  const send = (piece: Buffer) => {
    if (unsent === '' && !isChunked) return writeJoined(sink, piece);
    sink.cork();
    if (unsent !== '') sink.write(unsent, 'latin1');
    unsent = '';
    const isFree = writePiece(sink, piece, isChunked);
    sink.uncork();
    return isFree;
  };
  const onEnd = () => {
    if (announcedBytes !== undefined && bytes < announcedBytes) {
      return onFailed(new errors.RequestContentLengthMismatchError());
    }
    let last = '';
    try {
      if (isChunked) last = writeEnd(trailers?.() ?? []);
    } catch (error) {
      return onFailed(error as Error);
    }
    stop();
    if (unsent !== '' || isChunked) sink.write(unsent + last, 'latin1');
    onSent();
  };
  const onClose = () => onFailed(new Error('the body was cut off'));
  const stop = () => {
    body.off('data', onData);
    body.off('end', onEnd);
    body.off('error', onFailed);
    body.off('close', onClose);
    body.on('error', () => {});
    if (!body.readableEnded) body.destroy();
  };
  body.on('data', onData);
  body.once('end', onEnd);
  body.once('error', onFailed);
  body.once('close', onClose);
  if (body.errored) onFailed(body.errored);
  else if (body.destroyed && !body.readableEnded) onClose();
  else if (body.readableEnded) onEnd();
  return { drained: () => paced.drained(), stop };
}

/** False when the upstream is to be waited for. */
function writePiece(sink: Sink, piece: Buffer, isChunked: boolean): boolean {
  if (!isChunked) return writeJoined(sink, piece);
  if (piece.byteLength === 0) return true;
  sink.write(`${piece.byteLength.toString(16)}\r\n`, 'latin1');
  sink.write(piece);
  return sink.write('\r\n', 'latin1');
}
