export type Room = 'workplace' | 'publications' | 'approvals' | 'notices';

const rooms: { id: Room; title: string }[] = [
  { id: 'workplace', title: 'Workplace' },
  { id: 'publications', title: 'Publications' },
  { id: 'approvals', title: 'Approvals' },
  { id: 'notices', title: 'Notices' },
];

/** The console's pages, with how many requests wait for a word. */
export function Navigation({ current, waiting }: { current: Room; waiting: number }) {
  return (
    <nav aria-label="Console" className="navigation">
      {rooms.map(({ id, title }) => (
        <a key={id} href={`/${id}`} aria-current={id === current ? 'page' : undefined}>
          {title}
          {id === 'approvals' && waiting > 0 && (
            <span className="count">
              {waiting > 99 ? '99+' : waiting}
              <span className="visually-hidden"> waiting</span>
            </span>
          )}
        </a>
      ))}
    </nav>
  );
}
