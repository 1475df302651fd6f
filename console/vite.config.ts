import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Builds the console into `console/dist`, which the gateway serves at `/`. */
export default defineConfig({
  base: '/',
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // The gateway's content security policy allows files of its own origin only: no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
