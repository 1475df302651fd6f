import { forbidden, token } from './http1-head.ts';
import { payloadMethods, type UpstreamRequest, unsafePath } from './http1-outgoing.ts';

/** The fields of a request as it goes out. Undefined when a part of it could be read as more than it is. */
export function http2Fields(
  { method, path, headers, body }: UpstreamRequest,
  authority: string,
): string[] | undefined {
  const fields: string[] = [];
  let host = authority;
  let hasLength = false;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]?.toLowerCase() ?? '';
    const value = headers[i + 1] ?? '';
    if (forbidden.test(value) || !token.test(name)) return undefined;
    if (name === 'host') host = value;
    else fields.push(name, value);
    hasLength ||= name === 'content-length';
  }
  const length = Buffer.isBuffer(body) ? body.byteLength : body === null ? 0 : undefined;
  if (!hasLength && length !== undefined && (body !== null || payloadMethods.has(method))) {
    fields.push('content-length', String(length));
  }
  const isSafe = token.test(method) && !unsafePath.test(path);
  return isSafe
    ? [':method', method, ':scheme', 'https', ':authority', host, ':path', path, ...fields]
    : undefined;
}
