import { type ReactNode, useEffect } from 'react';
import type { ApiError } from '../api.ts';
import { Navigation, type Room } from '../attention/Navigation.tsx';
import { NoticeBanner } from '../attention/NoticeBanner.tsx';
import { useAttention } from '../attention/useAttention.ts';
import { TroublePage } from '../pages/TroublePage.tsx';
import { Brand } from '../ui/Brand.tsx';

export interface FrameProps {
  title: string;
  room?: Room;
  children: ReactNode;
}

/** The frame of the admin's pages: where one is, how to get elsewhere, and what waits. */
export function Frame({ title, room = 'publications', children }: FrameProps) {
  const { notices, waiting } = useAttention();
  useEffect(() => {
    document.title = `${waiting > 0 ? `(${waiting}) ` : ''}${title} · Tagalong`;
  }, [title, waiting]);
  return (
    <div className="publications">
      <header className="publications-header">
        <Brand />
        <Navigation current={room} waiting={waiting} />
      </header>
      <NoticeBanner notices={notices} />
      <main>{children}</main>
    </div>
  );
}

export interface WaitingProps {
  error: ApiError | undefined;
  retry: () => void;
  title?: string;
  room?: Room;
}

/** While nothing is there yet: why, or that it comes. */
export function Waiting({ error, retry, title = 'Publications', room = 'publications' }: WaitingProps) {
  if (error?.status === 401) return <TroublePage error={error} retry={retry} />;
  return (
    <Frame title={title} room={room}>
      {error ? (
        <p className="error-note" role="alert">
          {error.message}
        </p>
      ) : (
        <p className="muted">One moment…</p>
      )}
    </Frame>
  );
}
