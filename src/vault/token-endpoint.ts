/** Where tokens of a credential are given out. */
export interface TokenEndpoint {
  /** Canonical. */
  host: string;
  /** As the most lenient server would read it. */
  path: string;
}

/** Reads the URL of a credential's token endpoint; undefined where it has none. */
export function readTokenEndpoint(url: string | undefined): TokenEndpoint | undefined {
  if (url === undefined || !URL.canParse(url)) return undefined;
  const { hostname, pathname } = new URL(url);
  return { host: hostname.replace(/\.$/, ''), path: loosePath(pathname) };
}

/** Whether a path, as the most lenient server would read it, leads to an endpoint: with a format (`/token.json`) or below it too. */
export function leadsTo({ path }: TokenEndpoint, asked: string): boolean {
  if (asked === path) return true;
  return path !== '/' && asked.startsWith(path) && /[/.]/.test(asked.charAt(path.length));
}

const maxDecodings = 4;

/**
 * A path as the most lenient server would read it: escapes resolved, lower case, one kind of slash and none at the end,
 * no parameters of segments. For refusing only: what is to be let through is compared as it is written.
 */
export function loosePath(path: string): string {
  let text = path;
  for (let i = 0; i < maxDecodings && text.includes('%'); i++) {
    text = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
  const plain = text
    .toLowerCase()
    .replace(/[\\/]+/g, '/')
    .replace(/;[^/]*/g, '');
  return plain.replace(/[/\s]+$/, '') || '/';
}
