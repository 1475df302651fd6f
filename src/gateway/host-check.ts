/**
 * Whether a request's `Host` is one of ours: the base URL's, or this machine's loopback names with the port that it
 * came in on. Otherwise a page of a stranger, whose name was made to resolve to 127.0.0.1, could talk to us as if it
 * were of the same origin (DNS rebinding).
 */
export function isOwnHost(host: string | undefined, baseUrl: URL, localPort: number | undefined): boolean {
  if (!host) return false;
  const given = host.toLowerCase();
  const defaultPort = baseUrl.protocol === 'https:' ? 443 : 80;
  if (given === baseUrl.host) return true;
  if (baseUrl.port === '' && given === `${baseUrl.hostname}:${defaultPort}`) return true;
  const port = localPort === undefined || localPort === 80 ? '' : `:${localPort}`;
  return ['localhost', '127.0.0.1', '[::1]'].some((name) => given === `${name}${port}`);
}

/**
 * Whether a browser sent this from a page of ours, as every request that carries the cookie must be. `SameSite=Strict`
 * alone is not enough: other programs on the same machine, with other ports, are of the same site.
 *
 * A read may also come without both headers (older browsers); a write may not.
 */
export function isOwnOrigin(request: {
  method: string;
  host: string | undefined;
  origin: string | undefined;
  secFetchSite: string | undefined;
}): boolean {
  const { method, host, origin, secFetchSite } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  if (secFetchSite !== undefined) {
    // `none`: typed in or opened from a bookmark, which makes reads only.
    if (secFetchSite !== 'same-origin' && !(isRead && secFetchSite === 'none')) return false;
  }
  if (origin === undefined) return isRead || secFetchSite === 'same-origin';
  return URL.canParse(origin) && host !== undefined && new URL(origin).host === normalise(host, origin);
}

/** Browsers leave the scheme's own port out of both headers, proxies do not always. */
function normalise(host: string, origin: string): string {
  const url = `${new URL(origin).protocol}//${host}`;
  return URL.canParse(url) ? new URL(url).host : host;
}
