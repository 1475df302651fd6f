import { withHeader } from './header-rules.ts';
import type { Passage } from './pass-on.ts';

/**
 * Whether a request needs HTTP/2 all the way: gRPC does, and who waits for trailers may. All others are asked over
 * HTTP/1.1, which costs a fifth less here.
 */
export function wantsHttp2(rawHeaders: readonly string[]): boolean {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const length = rawHeaders[i]?.length;
    if (length !== 2 && length !== 12) continue;
    const name = rawHeaders[i]?.toLowerCase();
    const value = rawHeaders[i + 1]?.toLowerCase() ?? '';
    if (name === 'te' && /(?:^|,)\s*trailers\s*(?:,|;|$)/.test(value)) return true;
    if (name === 'content-type' && /^application\/grpc(?:$|[+; ])/.test(value)) return true;
  }
  return false;
}

/** The passage over HTTP/2, where there is a network between; `te` is said anew, for servers that insist on it. */
export function overHttp2(passage: Passage): Passage {
  if (passage.route.kind === 'socket') return passage;
  const { renew } = passage;
  const told = (headers: readonly string[]) => withHeader(headers, 'te', 'trailers');
  return {
    ...passage,
    http2: true,
    headers: told(passage.headers),
    ...(renew
      ? {
          renew: async () => {
            const renewed = await renew();
            return { ...renewed, headers: told(renewed.headers) };
          },
        }
      : {}),
  };
}
