import type { Notice } from './api.ts';

/** What keeps an agent from answering; the rest is only asked of an admin. */
const isTrouble = ({ kind }: Notice) => kind !== 'publication.capabilities_requested';

/** What an admin has to know on every page, until it is over: what is broken before what is asked. */
export function NoticeBanner({ notices }: { notices: readonly Notice[] }) {
  const sorted = [...notices.filter(isTrouble), ...notices.filter((notice) => !isTrouble(notice))];
  return (
    <ul className="notice-banner" aria-label="Notices" aria-live="polite">
      {sorted.map((notice) => (
        <li key={notice.id} className={isTrouble(notice) ? 'notice-trouble' : undefined}>
          {notice.text}{' '}
          {notice.publication_id && <a href={`/publications/${notice.publication_id}`}>Open it</a>}
        </li>
      ))}
    </ul>
  );
}
