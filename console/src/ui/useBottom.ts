import { type RefObject, useEffect, useLayoutEffect, useRef } from 'react';

const nearPx = 60;

/**
 * Keeps a scrolled box at its end as content is added or the box changes its height, unless the reader has scrolled up.
 * `place` is what the box shows: another one starts at its end.
 */
export function useBottom(place: string, content: unknown): RefObject<HTMLDivElement | null> {
  const box = useRef<HTMLDivElement>(null);
  const follower = useRef<Follower>({ atEnd: true, endPx: 0 });
  const shown = useRef(place);

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const onScroll = () => note(element, follower.current);
    const observer = new ResizeObserver(() => follow(element, follower.current));
    element.addEventListener('scroll', onScroll);
    observer.observe(element);
    return () => {
      element.removeEventListener('scroll', onScroll);
      observer.disconnect();
    };
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: content is what makes the box grow
  useLayoutEffect(() => {
    if (shown.current !== place) follower.current = { atEnd: true, endPx: 0 };
    shown.current = place;
    if (box.current !== null) follow(box.current, follower.current);
  }, [place, content]);

  return box;
}

/** Whether the reader was at the end when last seen, and how far down the box was scrolled then. */
interface Follower {
  atEnd: boolean;
  endPx: number;
}

function note(element: HTMLDivElement, follower: Follower): void {
  follower.atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < nearPx;
  follower.endPx = element.scrollTop;
}

/**
 * The event of a reader's scroll comes with the next frame, and content may come before it: whoever is further up than
 * when last seen, and not at the end, has scrolled.
 */
function follow(element: HTMLDivElement, follower: Follower): void {
  if (!follower.atEnd || element.scrollTop < follower.endPx - nearPx) note(element, follower);
  if (!follower.atEnd) return;
  element.scrollTop = element.scrollHeight;
  follower.endPx = element.scrollTop;
}
