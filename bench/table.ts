/** One line of the table: what was measured, and its numbers as they shall be read. */
export interface Row {
  what: string;
  numbers: Readonly<Record<string, string>>;
}

/** Prints rows as one Markdown table; a number that a row does not have stays empty. */
export function printTable(rows: readonly Row[]): void {
  const names = [...new Set(rows.flatMap(({ numbers }) => Object.keys(numbers)))];
  const cells = [
    ['measured', ...names],
    ...rows.map(({ what, numbers }) => [what, ...names.map((name) => numbers[name] ?? '')]),
  ];
  const widths =
    cells[0]?.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0))) ?? [];
  const line = (values: readonly string[]) =>
    `| ${values.map((value, column) => (column === 0 ? value.padEnd(widths[0] ?? 0) : value.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const [head = [], ...rest] = cells;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  console.log([line(head), rule, ...rest.map(line)].join('\n'));
}

/** What so great a share of them, of the smallest first, does not exceed. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
}

/** The middle one; of an even number the lower of the two. */
export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}
