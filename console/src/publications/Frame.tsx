import { type ReactNode, useEffect } from 'react';
import type { ApiError } from '../api.ts';
import { TroublePage } from '../pages/TroublePage.tsx';
import { Brand } from '../ui/Brand.tsx';

/** The frame of the publications' pages: where one is, and how to get elsewhere. */
export function Frame({ title, children }: { title: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Tagalong`;
  }, [title]);
  return (
    <div className="publications">
      <header className="publications-header">
        <Brand />
        <nav aria-label="Console">
          <a href="/workplace">Workplace</a>
          <a href="/publications" aria-current="page">
            Publications
          </a>
        </nav>
      </header>
      <main>{children}</main>
    </div>
  );
}

/** While nothing is there yet: why, or that it comes. */
export function Waiting({ error, retry }: { error: ApiError | undefined; retry: () => void }) {
  if (error?.status === 401) return <TroublePage error={error} retry={retry} />;
  return (
    <Frame title="Publications">
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
