import { type ReactNode, useEffect } from 'react';
import type { ApiError } from '../api.ts';
import { Brand } from '../ui/Brand.tsx';

const retryMs = 3_000;

/** Whether trying again cannot help: not signed in, or no workplace here. */
export function isFinal(error: ApiError): boolean {
  return error.status === 401 || error.status === 404;
}

/** Why there is no workplace to show, and what to do. Tries again by itself where that can help. */
export function TroublePage({ error, retry }: { error: ApiError; retry: () => void }) {
  useEffect(() => {
    if (isFinal(error)) return;
    const timer = window.setInterval(retry, retryMs);
    return () => window.clearInterval(timer);
  }, [error, retry]);

  if (error.status === 401) {
    return (
      <Page title="This browser is not signed in">
        <p>Open a one-time link once, and this browser stays signed in for 30 days.</p>
        <p>
          <code>npm start</code> prints a link when it is ready. While it is running,{' '}
          <code>npx tagalong link</code> prints a new one.
        </p>
      </Page>
    );
  }
  if (error.status === 404) {
    return (
      <Page title="No emulated workplace here">
        <p>
          The workplace exists only for agents that are published into the emulated Slack, GitHub and Linear.
          Yours answer in your real ones: mention, label or delegate there.
        </p>
      </Page>
    );
  }
  return (
    <Page title="The workplace cannot be opened right now">
      <p>{error.message}</p>
      <p className="muted">Trying again every {retryMs / 1000} seconds.</p>
    </Page>
  );
}

/** A page of a few words. */
export function Page({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="page">
      <Brand />
      <h2>{title}</h2>
      {children}
    </main>
  );
}
