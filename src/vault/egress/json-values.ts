const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const list = 0x5b;
const object = 0x7b;

/**
 * Whether bytes, read as JSON, hold more than so many values. Reading JSON costs by its values much more than by its
 * bytes: 32 MiB of empty objects are 11 million of them, for which `JSON.parse` takes seconds and some 700 MiB. An empty
 * list or object counts as two. Looks at each byte outside of texts once, and stops where it is too many.
 */
export function holdsMoreValues(bytes: Buffer, most: number): boolean {
  let values = 1;
  let at = 0;
  while (at < bytes.byteLength) {
    const byte = bytes[at++];
    if (byte === quote) at = endOfText(bytes, at);
    // Whatever a list or an object holds comes after its beginning or after a comma.
    else if ((byte === comma || byte === list || byte === object) && ++values > most) return true;
  }
  return false;
}

/** Where to go on after the text that begins here. */
function endOfText(bytes: Buffer, from: number): number {
  for (let at = from; ; ) {
    const end = bytes.indexOf(quote, at);
    if (end < 0) return bytes.byteLength;
    let first = end;
    while (first > at && bytes[first - 1] === backslash) first -= 1;
    at = end + 1;
    // Each second one of them is itself what is escaped.
    if ((end - first) % 2 === 0) return at;
  }
}
