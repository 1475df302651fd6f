import type { ReactNode } from 'react';
import { ApprovalPage } from './approvals/ApprovalPage.tsx';
import { ApprovalsPage } from './approvals/ApprovalsPage.tsx';
import { useRoute } from './live/useRoute.ts';
import { NoticesPage } from './notices/NoticesPage.tsx';
import { NotFoundPage } from './pages/NotFoundPage.tsx';
import { WorkplacePage } from './pages/WorkplacePage.tsx';
import { NewPublicationPage } from './publications/NewPublicationPage.tsx';
import { PublicationPage } from './publications/PublicationPage.tsx';
import { PublicationsPage } from './publications/PublicationsPage.tsx';

/** Page by the path's first part: without more, and with one more part. */
const rooms: Record<string, { all: () => ReactNode; one?: (id: string) => ReactNode }> = {
  workplace: { all: () => <WorkplacePage /> },
  publications: {
    all: () => <PublicationsPage />,
    one: (id) => (id === 'new' ? <NewPublicationPage /> : <PublicationPage key={id} id={id} />),
  },
  approvals: { all: () => <ApprovalsPage />, one: (id) => <ApprovalPage key={id} id={id} /> },
  notices: { all: () => <NoticesPage /> },
};

/** The console: the workplace, what is published, what waits for a word, what admins were told. */
export function App() {
  const path = useRoute();
  if (path === '/') return null;
  const [, name = '', id, ...rest] = path.split('/');
  const room = Object.hasOwn(rooms, name) && rest.length === 0 ? rooms[name] : undefined;
  const page = id === undefined ? room?.all() : room?.one?.(id);
  return page ?? <NotFoundPage path={path} />;
}
