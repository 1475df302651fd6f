/** Adds up what it is told of, and collects each time that so many bytes have come together. */
function collecting(everyBytes: number, collect: () => void): (bytes: number) => void {
  let sinceBytes = 0;
  return (bytes) => {
    sinceBytes += bytes;
    if (sinceBytes < everyBytes) return;
    sinceBytes = 0;
    collect();
  };
}

/**
 * Told of each piece of a body that goes by. Its bytes lie outside V8's heap, where V8 looks only when there are many
 * megabytes of them, and then goes through all of the heap: at some hundred MiB/s a third of the time, with a hundred MiB
 * of garbage. Collecting what is young (`--expose-gc`) now and then takes a hundredth, and leaves it nothing to do: as
 * much as a young collection frees for about the time that reading 100 KiB takes.
 */
export const passedBy = collecting(4 * 1024 * 1024, () => globalThis.gc?.({ type: 'minor' }));

/**
 * Told of what was held whole for a while, and is not needed any more. V8 would let several times of what is held lie
 * before it looks for it, since the whole heap is to be collected seldom. As much as the largest of it usually is.
 */
export const wasHeld = collecting(32 * 1024 * 1024, () => globalThis.gc?.());
