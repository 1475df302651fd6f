/** The path and query of a request, readable in one way only. */
export interface RequestTarget {
  /** As sent, without query. */
  path: string;
  /** With its `?`, as sent; empty when there is none. */
  search: string;
}

export type TargetResult = { ok: true; target: RequestTarget } | { ok: false; reason: string };

const no = (reason: string): TargetResult => ({ ok: false, reason });

/**
 * Reads an origin-form target and refuses whatever two servers could read as two different paths: dot segments in
 * plain or encoded form, backslashes, a leading or inner `//`, a fragment, doubly encoded separators, encoded
 * control characters, broken escapes.
 */
export function parseTarget(url: string): TargetResult {
  if (!url.startsWith('/')) return no('the target must start with "/"');
  if (!/^[\x21-\x7e]+$/.test(url)) return no('the target holds characters that must be percent-encoded');
  if (url.includes('#')) return no('the target holds a fragment');
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const search = mark < 0 ? '' : url.slice(mark);
  if (path.includes('//')) return no('the path holds an empty segment ("//")');
  if (path.includes('\\')) return no('the path holds a backslash');
  if (/%(?![0-9a-f]{2})/i.test(path)) return no('the path holds a broken percent escape');
  if (/%(?:[01][0-9a-f]|7f)/i.test(path)) return no('the path holds an encoded control character');
  if (/%2e/i.test(path)) return no('the path holds an encoded dot');
  if (/%25(?:2e|2f|5c|25)/i.test(path)) return no('the path holds a doubly encoded separator');
  const segments = path.replace(/%(?:2f|5c)/gi, '/').split('/');
  if (segments.some((segment) => /^\.{1,2}(?:;|$)/.test(segment))) return no('the path holds a dot segment');
  return { ok: true, target: { path, search } };
}

/** A part of a target without its percent escapes; as it is where they are broken. */
export function decodedText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
