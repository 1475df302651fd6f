import type { AddressInfo } from 'node:net';
import { type ServerType, serve } from '@hono/node-server';

/** A server that listens on 127.0.0.1. */
export interface Listener {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  origin: string;
  port: number;
  close(): Promise<void>;
}

export interface ListenOptions {
  handler(request: Request): Response | Promise<Response>;
  /** Larger request bodies are answered with 413 and never held. */
  maxBodyBytes: number;
  /** Taken when it is free; otherwise the system chooses. */
  wantedPort?: number | undefined;
}

/** Serves a handler on 127.0.0.1; it is given whole requests, their bodies read. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { wantedPort = 0 } = options;
  try {
    return await listenOn(options, wantedPort);
  } catch (error) {
    if (wantedPort === 0) throw error;
    return await listenOn(options, 0);
  }
}

async function listenOn({ handler, maxBodyBytes }: ListenOptions, port: number): Promise<Listener> {
  const fetch = async (request: Request): Promise<Response> => {
    const body = await readBounded(request, maxBodyBytes);
    if (!body)
      return Response.json({ message: `The body is larger than ${maxBodyBytes} bytes.` }, { status: 413 });
    // What the adapter passes is not a Request of Node, and cannot be copied into one.
    const { method, headers, signal } = request;
    const whole = new Request(request.url, { method, headers, signal, body: body.length > 0 ? body : null });
    return await handler(whole);
  };
  const server = await new Promise<ServerType>((resolve, reject) => {
    const options = { fetch, port, hostname: '127.0.0.1', overrideGlobalObjects: false };
    const starting = serve(options, () => resolve(starting));
    starting.once('error', reject);
  });
  const address = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${address.port}`,
    port: address.port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        if ('closeAllConnections' in server) server.closeAllConnections();
      }),
  };
}

/** The bytes of a body, or undefined when there are more than `maxBytes`. Counts what comes, not what was announced. */
export async function readBounded(
  request: Pick<Request, 'headers' | 'body'>,
  maxBytes: number,
): Promise<Buffer<ArrayBuffer> | undefined> {
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) return undefined;
  if (!request.body) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.length;
    if (length > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
