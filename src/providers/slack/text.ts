const entities: Record<string, string> = { '&amp;': '&', '&lt;': '<', '&gt;': '>' };

/** Whether a text in Slack's markup mentions this user. */
export function mentions(text: string, userId: string): boolean {
  return text.includes(`<@${userId}>`) || text.includes(`<@${userId}|`);
}

/** Whether it mentions any user at all. */
export function mentionsSomebody(text: string): boolean {
  return /<@[UW][A-Z0-9]+[>|]/.test(text);
}

/** Takes the bot's own mentions from the start of a text in Slack's markup. */
export function withoutLeadingMention(text: string, userId: string): string {
  let rest = text.trimStart();
  for (;;) {
    const found = /^<@([A-Z0-9]+)(?:\|[^>]*)?>[\s,:]*/.exec(rest);
    if (found?.[1] !== userId) return rest;
    rest = rest.slice(found[0].length);
  }
}

/**
 * Slack's markup as people read it: mentions as `@name`, channels as `#name`, links plain, entities decoded.
 * https://docs.slack.dev/messaging/formatting-message-text
 */
export function readableText(text: string, names: Readonly<Record<string, string>> = {}): string {
  return text
    .replace(/<([^<>]*)>/g, (whole, token: string) => {
      const [target = '', label] = splitOnce(token, '|');
      if (target.startsWith('@')) return `@${label || names[target.slice(1)] || target.slice(1)}`;
      if (target.startsWith('#')) return `#${label || target.slice(1)}`;
      if (target.startsWith('!')) return specialMention(target.slice(1), label);
      if (/^(https?|mailto|tel):/.test(target)) return link(target, label);
      return whole;
    })
    .replace(/&(?:amp|lt|gt);/g, (entity) => entities[entity] ?? entity);
}

function specialMention(target: string, label: string | undefined): string {
  if (label) return label;
  const [name = ''] = target.split('^', 1);
  return `@${name === 'subteam' ? (target.split('^')[1] ?? name) : name}`;
}

function link(target: string, label: string | undefined): string {
  const shown = target.replace(/^(mailto|tel):/, '');
  if (!label || label === shown || shown === `https://${label}` || shown === `http://${label}`) return shown;
  return `${label} (${shown})`;
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
