import { chmodSync, readFileSync, writeFileSync } from 'node:fs';

/** Writes a file that the uids of sessions can read, unless it holds that already. */
export function writeReadable(path: string, content: string | Buffer): void {
  try {
    if (readFileSync(path).equals(Buffer.from(content))) return;
  } catch {
    // Missing: written below.
  }
  writeFileSync(path, content);
  chmodSync(path, 0o644);
}
