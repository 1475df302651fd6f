/** Splits bytes into lines without ever holding more than `maxBytes` of an unfinished one. */
export interface LineSplitter {
  /** The lines that this chunk completed, without their ends; 'too_long' when one passed the bound. */
  push(chunk: Buffer): Buffer[] | 'too_long';
  /** What came after the last line end. */
  rest(): Buffer;
}

/** A splitter at LF. A CR before it stays part of the line. */
export function createLineSplitter(maxBytes: number): LineSplitter {
  let parts: Buffer[] = [];
  let held = 0;
  const take = (last: Buffer): Buffer => {
    const line = parts.length === 0 ? last : Buffer.concat([...parts, last]);
    parts = [];
    held = 0;
    return line;
  };
  return {
    push(chunk) {
      const lines: Buffer[] = [];
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        if (held + end - start > maxBytes) return 'too_long';
        lines.push(take(chunk.subarray(start, end)));
        start = end + 1;
      }
      held += chunk.length - start;
      if (held > maxBytes) return 'too_long';
      if (start < chunk.length) parts.push(chunk.subarray(start));
      return lines;
    },
    rest: () => take(Buffer.alloc(0)),
  };
}
