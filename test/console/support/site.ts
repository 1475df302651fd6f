import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { launchBrowser, type OpenedPage, openPage } from './browser.ts';
import { buildConsole, type ConsoleServer, removeConsole, serveConsole } from './console-server.ts';
import { FakeWorkplace } from './fake-workplace.ts';

export interface Site {
  /** A fresh one for each test; a test may put another in its place before it opens the page. */
  workplace: FakeWorkplace;
  server: ConsoleServer;
  /** Opens a page that is closed after the test. */
  open(path?: string, options?: BrowserContextOptions): Promise<OpenedPage>;
}

/** Builds the console once for the test file, and serves it to a real browser with a fresh workplace for each test. */
export function useSite(): Site {
  let folder: string;
  let browser: Browser;
  const opened: OpenedPage[] = [];
  const site = {
    open: async (path = '/workplace', options?: BrowserContextOptions) => {
      const url = new URL(path, site.server.origin);
      const page = await openPage(browser, url.href, options);
      opened.push(page);
      return page;
    },
  } as Site;

  beforeAll(async () => {
    folder = await buildConsole();
    site.server = await serveConsole(folder, () => site.workplace.api());
    browser = await launchBrowser();
  });
  beforeEach(() => {
    site.workplace = new FakeWorkplace();
  });
  afterEach(async () => {
    for (const { context } of opened.splice(0)) await context.close();
  });
  afterAll(async () => {
    await browser?.close();
    await site.server?.stop();
    if (folder) removeConsole(folder);
  });
  return site;
}
