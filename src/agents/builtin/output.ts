/** Collects the output of a process, however much it is: the beginning and the end are kept. */
export interface OutputCollector {
  add(chunk: Buffer): void;
  text(): string;
}

export function createOutputCollector(maxBytes: number): OutputCollector {
  const headBytes = Math.floor(maxBytes / 3);
  const tailBytes = maxBytes - headBytes;
  const head: Buffer[] = [];
  let headHeld = 0;
  let tail: Buffer[] = [];
  let tailHeld = 0;
  let dropped = 0;
  return {
    add(chunk) {
      const toHead = chunk.subarray(0, Math.max(0, headBytes - headHeld));
      if (toHead.length > 0) {
        head.push(toHead);
        headHeld += toHead.length;
      }
      const rest = chunk.subarray(toHead.length);
      if (rest.length === 0) return;
      tail.push(rest);
      tailHeld += rest.length;
      // Joined now and then only, so that many small chunks stay cheap.
      if (tailHeld > 2 * tailBytes) {
        const kept = Buffer.concat(tail).subarray(-tailBytes);
        dropped += tailHeld - kept.length;
        tail = [Buffer.from(kept)];
        tailHeld = kept.length;
      }
    },
    text() {
      const joined = Buffer.concat(tail);
      const kept = joined.subarray(-tailBytes);
      const missing = dropped + joined.length - kept.length;
      const start = Buffer.concat(head).toString('utf8');
      if (missing === 0) return Buffer.concat([...head, kept]).toString('utf8');
      return `${start}\n\n[… ${missing} bytes left out …]\n\n${kept.toString('utf8')}`;
    },
  };
}
