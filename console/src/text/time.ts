/** The time of a Slack timestamp, as `14:05`; empty when it is none. */
export function slackTime(ts: string): string {
  return clockTime(new Date(Number(ts) * 1000));
}

/** The time of day in the reader's own way of writing it; empty when the date is none. */
export function clockTime(date: Date): string {
  if (Number.isNaN(date.getTime())) return '';
  return date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
