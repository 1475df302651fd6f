import { useEffect, useSyncExternalStore } from 'react';

/** The path of the page, with `/` sent on to the workplace. */
export function useRoute(): string {
  const path = useSyncExternalStore(subscribe, () => window.location.pathname.replace(/\/+$/, '') || '/');
  useEffect(() => {
    if (path !== '/') return;
    window.history.replaceState(null, '', '/workplace');
    window.dispatchEvent(new PopStateEvent('popstate'));
  }, [path]);
  return path;
}

function subscribe(onChange: () => void): () => void {
  window.addEventListener('popstate', onChange);
  return () => window.removeEventListener('popstate', onChange);
}
