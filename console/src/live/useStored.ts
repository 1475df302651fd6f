import { useCallback, useEffect, useState } from 'react';

const prefix = 'tagalong.';

/**
 * State that outlives the component and a reload of the tab: typed text, the open channel, the person. `initial` counts
 * for as long as nothing was set; setting `undefined` goes back to it.
 */
export function useStored(key: string, initial: string): [string, (value: string | undefined) => void] {
  const [entry, setEntry] = useState(() => ({ key, value: read(key) }));
  useEffect(() => setEntry({ key, value: read(key) }), [key]);

  const set = useCallback(
    (value: string | undefined) => {
      write(key, value);
      setEntry({ key, value });
    },
    [key],
  );

  const value = entry.key === key ? entry.value : read(key);
  return [value ?? initial, set];
}

// Storage throws where the browser forbids it; the page then forgets on reload, and works.
function read(key: string): string | undefined {
  try {
    return window.sessionStorage.getItem(prefix + key) ?? undefined;
  } catch {
    return undefined;
  }
}

function write(key: string, value: string | undefined): void {
  try {
    if (value === undefined) window.sessionStorage.removeItem(prefix + key);
    else window.sessionStorage.setItem(prefix + key, value);
  } catch {
    return;
  }
}
