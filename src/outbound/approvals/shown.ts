import { secretPatterns } from '../../vault/secret-patterns.ts';

/** Longest text that people are asked to approve: what cannot be shown whole cannot be approved. */
export const maxShownChars = 12_000;

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
