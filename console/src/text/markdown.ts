export type Inline = { kind: 'text' | 'code'; text: string } | { kind: 'bold'; children: Inline[] };

export type Block = { kind: 'paragraph'; children: Inline[] } | { kind: 'code'; text: string };

/** `slack` also reads `*bold*`, which is Slack's own. */
export type Flavor = 'markdown' | 'slack';

/**
 * The little Markdown that agents need in a thread: paragraphs, fenced code, `code` and **bold**; the rest stays the text
 * that it is. Whatever comes in, nothing is lost (but the language of a fence) and nothing becomes markup. Linear in the
 * length of the text.
 */
export function parseMarkdown(text: string, flavor: Flavor = 'markdown'): Block[] {
  const blocks: Block[] = [];
  let paragraph: string[] = [];
  let code: string[] | undefined;
  let fence = '';

  const endParagraph = () => {
    if (paragraph.length > 0) {
      blocks.push({ kind: 'paragraph', children: parseInline(paragraph.join('\n'), flavor) });
    }
    paragraph = [];
  };
  const endCode = () => {
    if (code !== undefined) blocks.push({ kind: 'code', text: code.join('\n') });
    code = undefined;
  };
  const addText = (line: string) => {
    if (line.trim() === '') endParagraph();
    else paragraph.push(line);
  };

  for (const line of text.replaceAll('\r\n', '\n').split('\n')) {
    if (code !== undefined) {
      const closed = closing(line, fence, flavor);
      if (closed === undefined) {
        code.push(line);
        continue;
      }
      if (closed.before !== '') code.push(closed.before);
      endCode();
      addText(closed.after);
      continue;
    }
    const opened = /^ {0,3}(`{3,})([^`]*)$/.exec(line);
    if (opened === null) {
      addText(line);
      continue;
    }
    endParagraph();
    const [, ticks = '', rest = ''] = opened;
    fence = ticks;
    code = rest.trim() === '' || (flavor === 'markdown' && language.test(rest.trim())) ? [] : [rest];
  }
  // A fence that was never closed: a message cut off in the middle is still code.
  endCode();
  endParagraph();
  return blocks;
}

const language = /^[A-Za-z][\w+#.-]{0,19}$/;

/** What stands before and after the end of a fence on this line. Slack ends one anywhere, Markdown on a line of its own. */
function closing(line: string, fence: string, flavor: Flavor): { before: string; after: string } | undefined {
  if (flavor === 'slack') {
    const at = line.indexOf(fence);
    return at === -1 ? undefined : { before: line.slice(0, at), after: line.slice(at + fence.length) };
  }
  const ticks = line.trim();
  return ticks.length >= fence.length && /^`+$/.test(ticks) ? { before: '', after: '' } : undefined;
}

function parseInline(text: string, flavor: Flavor): Inline[] {
  const out: Inline[] = [];
  const unclosed = new Set<string>();
  let plainFrom = 0;
  let at = 0;

  const push = (inline: Inline, end: number) => {
    if (at > plainFrom) out.push({ kind: 'text', text: text.slice(plainFrom, at) });
    out.push(inline);
    at = end;
    plainFrom = end;
  };

  while (at < text.length) {
    const marker = markerAt(text, at, flavor);
    if (marker === undefined) {
      at += 1;
      continue;
    }
    const start = at + marker.length;
    // Remembered per marker: without it, many openings and no end would be searched to the end each time.
    const end = unclosed.has(marker) ? -1 : text.indexOf(marker, start);
    if (end === -1) unclosed.add(marker);
    const inner = end === -1 ? '' : text.slice(start, end);
    if (inner === '' || (marker.startsWith('*') && !boldable(inner, text[end + marker.length], marker))) {
      at = start;
    } else if (marker.startsWith('`')) {
      push({ kind: 'code', text: inner }, end + marker.length);
    } else {
      push({ kind: 'bold', children: parseCodeOnly(inner) }, end + marker.length);
    }
  }
  if (plainFrom < text.length) out.push({ kind: 'text', text: text.slice(plainFrom) });
  return out;
}

function markerAt(text: string, at: number, flavor: Flavor): string | undefined {
  const char = text[at];
  if (char === '`') {
    let end = at + 1;
    while (text[end] === '`') end += 1;
    return '`'.repeat(end - at);
  }
  if (char !== '*') return undefined;
  if (text[at + 1] === '*') return '**';
  return flavor === 'slack' && !isWord(text[at - 1]) ? '*' : undefined;
}

function boldable(inner: string, next: string | undefined, marker: string): boolean {
  if (inner.trim() !== inner || inner.includes('\n')) return false;
  return marker === '**' || !isWord(next);
}

function parseCodeOnly(text: string): Inline[] {
  return text.split('`').length === 3
    ? text.split('`').flatMap((part, index): Inline[] => {
        return part === '' ? [] : [{ kind: index === 1 ? 'code' : 'text', text: part }];
      })
    : [{ kind: 'text', text }];
}

function isWord(char: string | undefined): boolean {
  return char !== undefined && /[\p{L}\p{N}]/u.test(char);
}
