/**
 * Whether a Markdown text addresses `@handle`: not in code, not in a quoted line, not in a comment, and not as part of
 * a longer name, a path or an address. An App is no user: GitHub sends no mention event for it, so we look ourselves.
 */
export function mentionsHandle(text: string, handle: string | undefined): boolean {
  if (!handle) return false;
  return mentionOf(handle).test(spokenText(text));
}

/** Takes mentions of the handle from the start of a text. */
export function withoutLeadingMention(text: string, handle: string | undefined): string {
  if (!handle) return text.trim();
  const leading = new RegExp(`^(?:@${escapePattern(handle)}(?:\\[bot\\])?(?![\\w/-])[\\s,:]*)+`, 'i');
  return text.trim().replace(leading, '').trim();
}

function mentionOf(handle: string): RegExp {
  return new RegExp(`(?<![\\w@/.\`-])@${escapePattern(handle)}(?:\\[bot\\])?(?![\\w/-])`, 'i');
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** What a person says in a Markdown text, without code, quotations and comments. */
export function spokenText(text: string): string {
  const lines: string[] = [];
  let fence: string | undefined;
  for (const line of withoutComments(text.replaceAll('\r\n', '\n')).split('\n')) {
    const marker = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence !== undefined) {
      if (marker?.startsWith(fence) && line.trim() === marker) fence = undefined;
      continue;
    }
    if (marker) {
      fence = marker;
      continue;
    }
    if (/^ {0,3}>/.test(line)) continue;
    lines.push(withoutCodeSpans(line));
  }
  return lines.join('\n');
}

function withoutComments(text: string): string {
  let rest = text;
  let kept = '';
  for (;;) {
    const start = rest.indexOf('<!--');
    if (start === -1) return kept + rest;
    const end = rest.indexOf('-->', start + 4);
    kept += rest.slice(0, start);
    // GitHub hides everything after a comment that is never closed.
    if (end === -1) return kept;
    rest = rest.slice(end + 3);
  }
}

function withoutCodeSpans(line: string): string {
  const runs = line.split(/(`+)/);
  let spoken = '';
  for (let index = 0; index < runs.length; index++) {
    const run = runs[index] ?? '';
    if (!run.startsWith('`')) {
      spoken += run;
      continue;
    }
    const end = runs.indexOf(run, index + 1);
    if (end === -1) continue;
    spoken += ' ';
    index = end;
  }
  return spoken;
}
