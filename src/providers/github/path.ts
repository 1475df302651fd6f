/**
 * The decoded segments of a request's path, or undefined where two readers could understand it differently: empty and
 * dot segments, encoded slashes, double encodings, backslashes, control characters. Each segment is decoded once.
 */
export function pathSegments(path: string): string[] | undefined {
  // RFC 3986 pchar, and slashes.
  if (!/^(?:\/[A-Za-z0-9\-._~!$&'()*+,;=:@%]+)+$/.test(path)) return undefined;
  const segments: string[] = [];
  for (const raw of path.slice(1).split('/')) {
    const segment = decode(raw);
    if (segment === undefined || segment === '.' || segment === '..') return undefined;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    if (/[/\\%?#\u0000-\u001f\u007f]/.test(segment)) return undefined;
    segments.push(segment);
  }
  return segments;
}

function decode(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw);
  } catch {
    return undefined;
  }
}
