/** Slack advises at most 4,000 characters for `text`; a code fence that is closed and opened again must fit too. */
export const maxPartCharacters = 3_900;
/** Beyond this a thread is flooded: the rest is cut, with a note. */
export const maxParts = 10;

const fence = '```';

/**
 * Cuts text in Slack's markup into posts of at most `maxCharacters`, at line ends where it can, never inside an
 * entity or a `<…>` token, and with code fences closed and opened again. The same text is always cut alike.
 */
export function splitPosts(text: string, maxCharacters = maxPartCharacters): string[] {
  const parts: string[] = [];
  let lines: string[] = [];
  let characters = 0;
  let isCode = false;
  const close = () => {
    const body = [...lines, ...(isCode ? [fence] : [])].join('\n');
    if (body.replaceAll(fence, '').trim() !== '') parts.push(body);
    lines = isCode ? [fence] : [];
    characters = isCode ? fence.length + 1 : 0;
  };
  // Room for the fences that may have to be added at both ends.
  const room = maxCharacters - 2 * (fence.length + 1);
  for (const line of text.split('\n').flatMap((whole) => cutLine(whole, room - fence.length - 1))) {
    if (characters + line.length + 1 > room && lines.length > 0) close();
    lines.push(line);
    characters += line.length + 1;
    if (line === fence) isCode = !isCode;
  }
  isCode = false;
  close();
  if (parts.length <= maxParts) return parts;
  const note = `_(cut here: the whole answer would have taken ${parts.length} posts)_`;
  return [...parts.slice(0, maxParts - 1), note];
}

function cutLine(line: string, maxCharacters: number): string[] {
  const pieces: string[] = [];
  let rest = line;
  while (rest.length > maxCharacters) {
    const at = cutAt(rest, maxCharacters);
    pieces.push(rest.slice(0, at));
    rest = rest.slice(at);
  }
  pieces.push(rest);
  return pieces;
}

function cutAt(line: string, maxCharacters: number): number {
  const window = line.slice(0, maxCharacters);
  const space = window.lastIndexOf(' ') + 1;
  let at = space > maxCharacters / 2 ? space : maxCharacters;
  const token = window.slice(0, at).lastIndexOf('<');
  if (token > 0 && !window.slice(token, at).includes('>')) at = token;
  const entity = /&[a-z]{0,4}$/.exec(window.slice(0, at));
  if (entity && entity.index > 0) at = entity.index;
  // Not between the halves of a surrogate pair.
  if (at > 1 && /[\uD800-\uDBFF]/.test(line.charAt(at - 1))) at -= 1;
  return at;
}
