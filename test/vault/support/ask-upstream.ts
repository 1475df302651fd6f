import type { Readable } from 'node:stream';
import type { UpstreamRequest } from '../../../src/vault/egress/http1-outgoing.ts';
import type { Upstream } from '../../../src/vault/egress/upstream-pools.ts';

export interface Asked {
  status: number;
  rawHeaders: string[];
  body: string;
  trailers: Record<string, unknown>;
}

/** Asks an upstream and collects its answer. Rejects as the request failed. */
export function askUpstream(
  upstream: Upstream,
  request: Partial<Omit<UpstreamRequest, 'body'>> & { body?: Readable | Buffer | null },
): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status = 0;
    let rawHeaders: string[] = [];
    upstream.dispatch(
      {
        ...{ method: 'GET', path: '/', headers: [], body: null },
        ...{ headersTimeout: 10_000, bodyTimeout: 10_000 },
        ...request,
      },
      {
        onRequestStart: () => {},
        onBodySent: () => {},
        onResponseStart: (controller, code) => {
          status = code;
          rawHeaders = (controller.rawHeaders as (string | Buffer)[]).map(String);
        },
        onResponseData: (_controller, chunk) => chunks.push(Buffer.from(chunk)),
        onResponseEnd: (_controller, trailers) =>
          resolve({ status, rawHeaders, body: Buffer.concat(chunks).toString('latin1'), trailers }),
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
}
