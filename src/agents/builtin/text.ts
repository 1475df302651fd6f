/** What a tool's result may hold, in characters: it stays in the conversation for good. */
export const maxResultChars = 30_000;

/** Keeps the beginning and the end of a long text and says what is missing between. */
export function boundText(text: string, maxChars: number = maxResultChars): string {
  if (text.length <= maxChars) return text;
  const head = Math.floor(maxChars / 3);
  const tail = maxChars - head;
  const missing = text.length - head - tail;
  return `${text.slice(0, head)}\n\n[… ${missing} characters left out …]\n\n${text.slice(-tail)}`;
}
