/** Every text in a JSON document, names too, one to a line; undefined when it is none. */
export function textsOf(body: Buffer): string | undefined {
  let root: unknown;
  try {
    root = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  const texts: string[] = [];
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value === 'string') texts.push(value);
    else if (Array.isArray(value)) for (const child of value) waiting.push(child);
    else if (typeof value === 'object' && value !== null) {
      for (const [name, child] of Object.entries(value)) {
        texts.push(name);
        waiting.push(child);
      }
    }
  }
  return texts.join('\n');
}
