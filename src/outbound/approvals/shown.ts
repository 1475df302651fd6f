/** Longest text that people are asked to approve: what cannot be shown whole cannot be approved. */
export const maxShownChars = 12_000;

/** What credentials look like, whoever's they are. What we hold ourselves is looked for by its exact value elsewhere. */
const secretPatterns: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\bxox[a-z](?:\.xox[a-z])?-[\w-]{8,}/g,
  /\bxapp-[\w-]{8,}/g,
  /\b(?:gh[opsur]|github_pat)_\w{16,}/g,
  /\blin_(?:api|oauth)_\w{8,}/g,
  /\bsk-[\w-]{16,}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}/g,
  /\b(?:bearer|token|password|passwd|secret|api[_-]?key)\b(?:\s+is)?["']?\s*[:=]?\s*["']?[\w./+~-]{20,}=*/gi,
];

/** The text with what looks like a secret taken out, and how many places those were. Pure. */
export function redactSecrets(text: string): { text: string; hidden: number } {
  let hidden = 0;
  let shown = text;
  for (const pattern of secretPatterns) {
    shown = shown.replace(pattern, () => {
      hidden += 1;
      return '[hidden]';
    });
  }
  return { text: shown, hidden };
}

export interface ShownAction {
  tool: string;
  capability: string;
  place: Readonly<Record<string, string>>;
  arguments: Readonly<Record<string, unknown>>;
}

/** All of an action for people to judge: the tool, where it was asked for, and every argument whole. Pure. */
export function describeAction(action: ShownAction): string {
  const place = Object.entries(action.place).map(([name, value]) => `${name} ${value}`);
  const lines = Object.entries(action.arguments).map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return text.includes('\n') ? `${name}:\n${text}` : `${name}: ${text}`;
  });
  const whole = [`${action.tool} (${action.capability})`, `asked for in: ${place.join(', ')}`, ...lines].join(
    '\n',
  );
  const { text, hidden } = redactSecrets(whole);
  return hidden === 0
    ? text
    : `${text}\n(${hidden} ${hidden === 1 ? 'part looks' : 'parts look'} like a secret and is not shown)`;
}
