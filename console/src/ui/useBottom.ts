import { type RefObject, useEffect, useLayoutEffect, useRef } from 'react';

const nearPx = 60;

/**
 * Keeps a scrolled box at its end as content is added or the box changes its height, unless the reader has scrolled up.
 * `place` is what the box shows: another one starts at its end.
 */
export function useBottom(place: string, content: unknown): RefObject<HTMLDivElement | null> {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const shown = useRef(place);

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const onScroll = () => {
      atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < nearPx;
    };
    const observer = new ResizeObserver(() => toEnd(element, atEnd.current));
    element.addEventListener('scroll', onScroll);
    observer.observe(element);
    return () => {
      element.removeEventListener('scroll', onScroll);
      observer.disconnect();
    };
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: content is what makes the box grow
  useLayoutEffect(() => {
    if (shown.current !== place) atEnd.current = true;
    shown.current = place;
    toEnd(box.current, atEnd.current);
  }, [place, content]);

  return box;
}

function toEnd(element: HTMLDivElement | null, wanted: boolean): void {
  if (element !== null && wanted) element.scrollTop = element.scrollHeight;
}
