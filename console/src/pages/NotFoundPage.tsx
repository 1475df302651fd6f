import { useEffect } from 'react';
import { Page } from './TroublePage.tsx';

/** For a path that the console does not know. */
export function NotFoundPage({ path }: { path: string }) {
  useEffect(() => {
    document.title = 'Not found · Tagalong';
  }, []);
  return (
    <Page title="There is no such page">
      <p>
        The console has nothing at <code>{path}</code>.
      </p>
      <p>
        <a className="button button-primary" href="/workplace">
          Go to the workplace
        </a>
      </p>
    </Page>
  );
}
