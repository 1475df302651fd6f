import { useRoute } from './live/useRoute.ts';
import { NotFoundPage } from './pages/NotFoundPage.tsx';
import { WorkplacePage } from './pages/WorkplacePage.tsx';

/** The console: one page so far. */
export function App() {
  const path = useRoute();
  if (path === '/') return null;
  return path === '/workplace' ? <WorkplacePage /> : <NotFoundPage path={path} />;
}
