// A headless Chromium that tells of everything a page must not do: errors on the console, requests
// to any other host, violations of the content policy.
import { readFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import assert from 'node:assert/strict';

const modules = process.env.COLDSHELF_CONSOLE_MODULES;
const require = createRequire(join(modules, 'package.json'));
const { chromium } = require('playwright-core');
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.env.COLDSHELF_CONSOLE_SHOTS;
mkdirSync(shots, { recursive: true });

export class Browser {
  static async start(origin) {
    const b = new Browser();
    b.origin = origin;
    b.complaints = [];
    b.bytes = new Map();  // path -> size of the files of the console
    b.expected = [];  // parts of complaints that a test provokes
    b.chromium = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync', '--no-default-browser-check', '--disable-dev-shm-usage'],
    });
    return b;
  }

  async page({ width = 1440, height = 900, dark = false, touch = false, context } = {}) {
    const where = context || await this.chromium.newContext({
      viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', hasTouch: touch, ignoreHTTPSErrors: true,
    });
    const page = await where.newPage();
    page.setDefaultTimeout(120000);
    const complain = (text) => this.expected.some((e) => text.includes(e)) || this.complaints.push(text);
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && complain(`console: ${m.text()} ${m.location().url || ''}`));
    page.on('pageerror', (e) => complain(`page error: ${e.stack || e}`));
    page.on('request', (r) => r.url().startsWith(this.origin) || r.url().startsWith('data:') || complain(`foreign request: ${r.url()}`));
    page.on('response', async (r) => {
      if (r.request().method() !== 'GET' || r.status() !== 200) return;
      const { pathname } = new URL(r.url());
      if (pathname === '/session') return;
      this.bytes.set(pathname, (await r.body().catch(() => Buffer.alloc(0))).length);
    });
    return page;
  }

  shot(page, name) {
    return page.screenshot({ path: join(shots, `${name}.png`) });
  }

  // axe-core with every rule of WCAG 2.2 A and AA and its best practices.
  async accessible(page, name) {
    await page.evaluate(axeSource);
    const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const said = found.violations.map((v) => `${v.id} (${v.impact}): ${v.help}\n  ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)}\n    ${n.failureSummary}`).join('\n  ')}`);
    assert.equal(said.join('\n'), '', `axe-core on ${name}`);
  }

  quiet() {
    assert.deepEqual(this.complaints, []);
  }

  stop() {
    return this.chromium.close();
  }
}
