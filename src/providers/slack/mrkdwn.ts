/** Tokens of Slack's markup that a model may write: a person or a channel. `<!channel>` and its like are not among them. */
const allowedTokens = /<(@[UW][A-Z0-9]{2,30}|#C[A-Z0-9]{2,30})>/g;

/**
 * Markdown as models write it, in Slack's markup. Everything that Slack would take for a command of its own
 * (`<!channel>`, `<!subteam^…>`, links with other words on them) is escaped, in code too.
 * https://docs.slack.dev/messaging/formatting-message-text
 */
export function toMrkdwn(markdown: string): string {
  const lines = markdown.replaceAll('\r\n', '\n').split('\n');
  let fence: string | undefined;
  return lines
    .map((line) => {
      const marker = /^\s{0,3}(`{3,}|~{3,})/.exec(line)?.[1];
      if (fence === undefined && marker) {
        fence = marker;
        return '```';
      }
      if (fence !== undefined && marker?.startsWith(fence) && line.trim() === marker) {
        fence = undefined;
        return '```';
      }
      return fence === undefined ? lineToMrkdwn(line) : escapeMarkup(line);
    })
    .concat(fence === undefined ? [] : ['```'])
    .join('\n');
}

/** Slack's three characters escaped, so that nothing in a text is taken for markup. */
export function escapeMarkup(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function lineToMrkdwn(line: string): string {
  const heading = /^\s{0,3}#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
  if (heading !== undefined) return heading === '' ? '' : `*${inline(heading.replaceAll('**', ''))}*`;
  const bullet = /^(\s*)[-*+]\s+(.*)$/.exec(line);
  if (bullet) return `${bullet[1]}• ${inline(bullet[2] ?? '')}`;
  return inline(line);
}

/** Code spans are taken out first, since nothing in them is markup. */
function inline(text: string): string {
  return text
    .split(/(`[^`]+`)/)
    .map((part) => (/^`[^`]+`$/.test(part) ? escapeMarkup(part) : prose(part)))
    .join('');
}

function prose(text: string): string {
  const kept: string[] = [];
  // Private-use characters stand for finished pieces, so that no later step touches them.
  const keep = (piece: string) => `\uE000${kept.push(piece) - 1}\uE001`;
  const withoutLinks = text
    .replace(/[\uE000\uE001]/g, '')
    .replace(allowedTokens, (token) => keep(token))
    .replace(/!?\[([^\]\n]{0,500})\]\((https?:\/\/[^\s()<>|]{1,2000})\)/g, (_, label: string, url: string) =>
      keep(linkTo(url, label)),
    )
    .replace(/<(https?:\/\/[^\s<>|]{1,2000})>/g, (_, url: string) => keep(`<${escapeMarkup(url)}>`));
  const styled = escapeMarkup(withoutLinks)
    .replace(/\*\*\*([^*\n]+)\*\*\*/g, (_, words: string) => keep(`*_${words}_*`))
    .replace(/\*\*([^*\n]+)\*\*/g, (_, words: string) => keep(`*${words}*`))
    .replace(/__([^_\n]+)__/g, (_, words: string) => keep(`*${words}*`))
    .replace(/(?<![\w*])\*([^*\s](?:[^*\n]*[^*\s])?)\*(?![\w*])/g, (_, words: string) => keep(`_${words}_`))
    .replace(/~~([^~\n]+)~~/g, (_, words: string) => keep(`~${words}~`));
  let restored = styled;
  // Pieces hold pieces at most as deep as there are steps above.
  for (let depth = 0; depth < 6 && restored.includes('\uE000'); depth++) {
    restored = restored.replace(/\uE000(\d+)\uE001/g, (_, index: string) => kept[Number(index)] ?? '');
  }
  return restored;
}

function linkTo(url: string, label: string): string {
  const words = label.replaceAll('|', '/').trim();
  // Words that look like another address would hide where the link leads.
  if (words === '' || words === url) return `<${escapeMarkup(url)}>`;
  if (/^(https?:\/\/|www\.)/i.test(words)) return `${escapeMarkup(words)} (<${escapeMarkup(url)}>)`;
  return `<${escapeMarkup(url)}|${escapeMarkup(words)}>`;
}
