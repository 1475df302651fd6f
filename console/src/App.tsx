import { useRoute } from './live/useRoute.ts';
import { NotFoundPage } from './pages/NotFoundPage.tsx';
import { WorkplacePage } from './pages/WorkplacePage.tsx';
import { NewPublicationPage } from './publications/NewPublicationPage.tsx';
import { PublicationPage } from './publications/PublicationPage.tsx';
import { PublicationsPage } from './publications/PublicationsPage.tsx';

/** The console: the workplace, and what is published. */
export function App() {
  const path = useRoute();
  if (path === '/') return null;
  if (path === '/workplace') return <WorkplacePage />;
  const [, room, id, ...rest] = path.split('/');
  if (room !== 'publications' || rest.length > 0) return <NotFoundPage path={path} />;
  if (id === undefined) return <PublicationsPage />;
  return id === 'new' ? <NewPublicationPage /> : <PublicationPage key={id} id={id} />;
}
