/** The text of a message's content in either of OpenAI's two forms: a string, or parts of which some are text. */
export function textContent(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .flatMap((part: { text?: unknown } | null) => (typeof part?.text === 'string' ? [part.text] : []))
    .join('\n');
}

/** The arguments of a call, which come as JSON in a string. */
export function toolInput(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}
