// The web console in a real browser against a real gateway. Environment:
//   COLDSHELF_BIN               where coldshelfd, coldshelf and coldshelf_tapecopy are
//   COLDSHELF_CONSOLE_MODULES   where playwright-core and axe-core are (install.mjs)
//   COLDSHELF_CONSOLE_SHOTS     where screenshots are kept
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from './browser.mjs';
import { Aws, Gateway } from './gateway.mjs';

const MIB = 1024 * 1024;
let aws;
let gateway;
let browser;
let page;
const keys = {};

before(async () => {
  aws = await Aws.start();
  gateway = await Gateway.start({ extra: aws.configuration });
  for (const role of ['admin', 'operator', 'viewer']) keys[role] = await gateway.cli('user', 'add', `${role}-one`, '--role', role);
  await gateway.cli('tape', 'create', '--barcode', 'BKP001L8', '--size', '100GiB', '--count', '12');
  await gateway.cli('library', 'load', 'BKP001L8', '1');
  await gateway.write(1, 48 * MIB);
  await gateway.write(1, 16 * MIB);
  browser = await Browser.start(gateway.url);
  page = await browser.page();
});

after(async () => {
  await browser?.stop();
  aws?.stop();
  const code = await gateway?.stop();
  assert.equal(code, 0, 'coldshelfd ends cleanly');
});

async function logIn(to, role) {
  await to.goto(gateway.url);
  await to.getByLabel('Access key ID').fill(keys[role].AccessKeyId);
  await to.getByLabel('Secret access key').fill(keys[role].SecretAccessKey);
  await to.getByRole('button', { name: 'Log in' }).click();
  await to.getByRole('heading', { name: 'Live' }).waitFor();
}

const slot = (n) => page.locator(`[aria-label^="slot ${n}:"]`);
const drive = (n) => page.locator(`.drive[aria-label^="Drive ${n}:"]`);
const has = (cell, barcode) => cell.and(page.locator(`[aria-label*="${barcode}"]`)).waitFor();

async function go(name) {
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click();
}

test('a wrong secret is refused in the server’s words, and nothing is let in', async () => {
  browser.expected.push('status of 403');  // the browser itself reports a refusal
  await page.goto(gateway.url);
  await browser.shot(page, 'login');
  await browser.accessible(page, 'log in');
  await page.getByLabel('Access key ID').fill(keys.admin.AccessKeyId);
  await page.getByLabel('Secret access key').fill('wrong');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').filter({ hasText: 'wrong' }).waitFor();
  assert.equal(await page.locator('#nav').count(), 0);
});

test('log in, and the overview shows the gateway', async () => {
  await logIn(page, 'admin');
  await page.getByText('vault-west').first().waitFor();
  await page.locator('.plot .line').first().waitFor();
  await browser.shot(page, 'overview');
  await browser.accessible(page, 'overview');
});

test('tapes are moved by click, by drag, and by the keyboard', async () => {
  await go('Library');
  await has(drive(1), 'BKP001L8');
  await has(slot(2), 'BKP002L8');
  await browser.shot(page, 'library');
  await browser.accessible(page, 'library');
  // Click: the tape, then an empty slot.
  await slot(2).click();
  await page.getByRole('complementary', { name: 'Chosen' }).getByText('BKP002L8').waitFor();
  await browser.shot(page, 'library-chosen');
  await slot(20).click();
  await has(slot(20), 'BKP002L8');
  // Drag: into a drive.
  await page.keyboard.press('Escape');
  await slot(3).hover();
  await page.mouse.down();
  const box = await drive(2).boundingBox();
  await page.mouse.move(box.x + 40, box.y + 40, { steps: 8 });
  await browser.shot(page, 'library-drag');
  await page.mouse.up();
  await has(drive(2), 'BKP003L8');
  // Keyboard: choose with Enter, walk, put down with Enter.
  await page.keyboard.press('Escape');
  await slot(11).focus();
  await page.keyboard.press('ArrowDown');
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^slot 12: BKP012L8/);
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await has(slot(13), 'BKP012L8');
  // The gateway's own view.
  const { Slots, Drives } = await gateway.cli('library', 'status');
  assert.equal(Slots.find((s) => s.Number === 20).Barcode, 'BKP002L8');
  assert.equal(Slots.find((s) => s.Number === 13).Barcode, 'BKP012L8');
  assert.equal(Drives[1].Barcode, 'BKP003L8');
});

test('a move can be undone, a drive unloaded', async () => {
  await page.keyboard.press('Escape');
  await slot(13).click();
  await slot(14).click();
  await has(slot(14), 'BKP012L8');
  await page.locator('.toast', { hasText: 'BKP012L8 is in slot 14' }).getByRole('button', { name: 'Undo' }).click();
  await has(slot(13), 'BKP012L8');
  await page.keyboard.press('Escape');
  await drive(2).click();
  await page.getByRole('button', { name: 'Unload' }).click();
  await has(slot(3), 'BKP003L8');
});

test('what a drive does is shown while data is written', async () => {
  await page.keyboard.press('Escape');
  const writing = gateway.write(1, 200 * MIB);
  await drive(1).and(page.locator('[aria-label*="Writing"]')).waitFor();
  await browser.shot(page, 'library-writing');
  await writing;
});

test('create tapes, with a refusal in the server’s words', async () => {
  await go('Tapes');
  browser.expected.push('status of 400');
  await page.getByRole('button', { name: 'Create tapes' }).click();
  const dialog = page.getByRole('dialog');
  await browser.accessible(page, 'create tapes');
  await dialog.getByLabel('First barcode').fill('BKP001L8');
  await dialog.getByLabel('Size of each').fill('100 GiB');
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  await dialog.getByRole('alert').filter({ hasText: 'BKP001L8' }).waitFor();
  await browser.shot(page, 'create-refused');
  await dialog.getByLabel('First barcode').fill('NEW001L8');
  await dialog.getByLabel('How many').fill('3');
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('row', { name: /NEW003L8/ }).waitFor();
  assert.equal((await gateway.cli('tape', 'show', 'NEW002L8')).SizeInBytes, 100 * 1024 * MIB);
});

test('archive with progress', async () => {
  await gateway.cli('library', 'unload', '1');
  await page.getByRole('row', { name: /BKP001L8/ }).click();
  await page.getByRole('heading', { name: 'BKP001L8' }).waitFor();
  await page.locator('.segments .seg').first().waitFor();
  await browser.shot(page, 'tape');
  await browser.accessible(page, 'tape');
  await page.getByRole('button', { name: 'Archive' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Archive' }).click();
  await page.locator('.panel.now [role=progressbar], .pill.cold').first().waitFor();
  await browser.shot(page, 'archiving');
  await page.locator('.toolbar .pill', { hasText: /^archived$/ }).waitFor();
  await page.locator('.segments .seg.cold, .segments .seg.both').first().waitFor();
  await browser.shot(page, 'archived');
});

test('recall a part, with an estimate', async () => {
  await page.getByRole('button', { name: 'More' }).first().click();
  await page.getByRole('menuitem', { name: 'Retrieve a part' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Files', { exact: true }).fill('0');
  await dialog.getByText('Objects to restore').waitFor();
  await browser.shot(page, 'recall-estimate');
  await browser.accessible(page, 'recall');
  await dialog.getByText('Expedited').click();
  await dialog.getByRole('button', { name: 'Retrieve' }).click();
  await page.locator('.toolbar .pill', { hasText: /^retriev(ing|ed)$/ }).waitFor();  // a busy machine may see the end only
  await browser.shot(page, 'recalling');
  await page.locator('.toolbar .pill', { hasText: /^retrieved$/ }).waitFor();
  assert.match((await gateway.cli('tape', 'show', 'BKP001L8')).Parts, /0/);
  await browser.shot(page, 'recalled');
});

test('delete asks for the barcode', async () => {
  await page.goto(`${gateway.url}/#/tapes/NEW003L8`);
  await page.getByRole('button', { name: 'More' }).first().click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  const dialog = page.getByRole('dialog');
  const go = dialog.getByRole('button', { name: 'Delete for ever' });
  assert.equal(await go.isDisabled(), true);
  await dialog.getByLabel(/Type NEW003L8/).fill('NEW003L8');
  await go.click();
  await dialog.waitFor({ state: 'detached' });
  for (let i = 0; i < 100; i += 1) {
    const { Tapes } = await gateway.cli('tape', 'list');
    if (!Tapes.some((t) => t.Barcode === 'NEW003L8')) return;
    await new Promise((r) => setTimeout(r, 100));
  }
  assert.fail('NEW003L8 is still there');
});

test('create a volume, a recovery point, a clone', async () => {
  await go('Volumes');
  await browser.shot(page, 'volumes-empty');
  await page.getByRole('button', { name: 'Create a volume' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('db-main');
  await dialog.getByLabel('Size').first().fill('10 GiB');
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('row', { name: /db-main/ }).click();
  await page.getByRole('heading', { name: 'db-main' }).waitFor();
  await page.getByRole('button', { name: 'Make a recovery point' }).click();
  await dialog.getByLabel('Name').fill('before-upgrade');
  await dialog.getByRole('button', { name: 'Make it' }).click();
  const point = page.getByRole('row', { name: /before-upgrade/ });
  await point.waitFor();
  await browser.shot(page, 'volume');
  await browser.accessible(page, 'volume');
  await point.getByRole('button', { name: /Actions/ }).click();
  await page.getByRole('menuitem', { name: 'Clone' }).click();
  await dialog.getByLabel('Name').fill('db-copy');
  await dialog.getByRole('button', { name: 'Clone' }).click();
  await go('Volumes');
  await page.getByRole('row', { name: /db-copy/ }).waitFor();
  await browser.shot(page, 'volumes');
  const { Volumes } = await gateway.cli('volume', 'list');
  assert.deepEqual(Volumes.map((v) => v.Name).sort(), ['db-copy', 'db-main']);
});

test('an archive of EBS snapshots to another pool, to the shelf and back, with an estimate', async () => {
  await gateway.cli('snapshot', 'pull', aws.snapshot, '--to', 'db', '--wait');
  await go('EBS snapshots');
  await page.getByRole('row', { name: /db/ }).click();
  await page.getByRole('heading', { name: 'db', exact: true }).waitFor();
  await page.getByRole('row', { name: new RegExp(aws.snapshot) }).waitFor();
  await browser.shot(page, 'snapshot');
  await browser.accessible(page, 'snapshot');
  const dialog = page.getByRole('dialog');
  const pill = (text) => page.locator('.toolbar .pill', { hasText: text }).waitFor();
  await page.getByRole('button', { name: 'More' }).first().click();
  await page.getByRole('menuitem', { name: 'Move to another pool' }).click();
  await dialog.getByLabel('Pool').selectOption('DEEP_ARCHIVE');
  await dialog.getByText('A month then').waitFor();
  await dialog.getByRole('button', { name: 'Move' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await gateway.cli('snapshot', 'show', 'db')).Pool, 'DEEP_ARCHIVE');
  await page.getByRole('button', { name: 'Archive', exact: true }).click();
  await dialog.getByRole('button', { name: 'Archive', exact: true }).click();
  await pill(/^archived$/);
  assert.equal((await gateway.cli('snapshot', 'show', 'db')).Status, 'ARCHIVED');
  await browser.shot(page, 'snapshot-archived');
  await page.getByRole('button', { name: 'Retrieve', exact: true }).click();
  await dialog.getByText('Objects to restore').waitFor();
  await dialog.getByText('not offered for this class').waitFor();  // DEEP_ARCHIVE has no Expedited
  await browser.shot(page, 'snapshot-estimate');
  await browser.accessible(page, 'snapshot estimate');
  await dialog.getByText('Bulk').click();
  await dialog.getByLabel('Keep readable').fill('3');
  await dialog.getByText('3 days').waitFor();
  await dialog.getByRole('button', { name: 'Retrieve', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  await pill(/^retrieved$/);
  await page.getByText('Readable until').waitFor();
  assert.equal((await gateway.cli('snapshot', 'show', 'db')).Status, 'RETRIEVED');
  const { Jobs } = await gateway.cli('job', 'list');
  const job = Jobs.find((j) => j.Kind === 'retrieve' && j.Barcode === 'db');
  assert.deepEqual([job.Tier, job.Days, job.Type], ['Bulk', '3', 'archive']);
  // The job leads to the archive, not to a tape of that name.
  await go('Jobs');
  await page.locator('tbody').getByRole('link', { name: 'db', exact: true }).first().click();
  await page.getByRole('heading', { name: 'db', exact: true }).waitFor();
  assert.match(page.url(), /#\/snapshots\/db$/);
});

test('an address that is no text shows a page all the same', async () => {
  await page.goto(`${gateway.url}/#/volumes/%E0%A4%A`);
  await page.locator('.view > *').first().waitFor();
  await page.goto(`${gateway.url}/#/%`);
  await page.getByRole('heading', { name: 'Live' }).waitFor();
});

test('every page, in light and dark, wide and on a phone', async () => {
  const names = await page.locator('#nav a.item').evaluateAll((all) => all.map((a) => a.getAttribute('href').slice(2)));
  assert.ok(names.length >= 10, names.join());
  const context = page.context();
  for (const look of [{}, { dark: true }, { width: 390, height: 844, touch: true }, { width: 390, height: 844, touch: true, dark: true }]) {
    const one = await browser.page({ ...look, context });
    await one.setViewportSize({ width: look.width || 1440, height: look.height || 900 });
    await one.emulateMedia({ colorScheme: look.dark ? 'dark' : 'light' });
    const some = look.width && look.dark ? ['overview', 'library'] : [...names, 'tapes/BKP001L8'];
    for (const name of some) {
      await one.goto(`${gateway.url}/#/${name}`);
      await one.locator('.view > *').first().waitFor();
      await one.locator('.loading').first().waitFor({ state: 'detached' });
      const label = `${name.replace('/', '-')}${look.width ? '-phone' : ''}${look.dark ? '-dark' : ''}`;
      await browser.shot(one, `page-${label}`);
      await browser.accessible(one, label);
      const wide = await one.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${label} is ${wide} px wider than the window`);
    }
    await one.close();
  }
});

test('find goes to a tape, the theme can be chosen', async () => {
  await page.keyboard.press('/');
  await page.getByRole('combobox', { name: /Find a page/ }).fill('bkp004');
  await page.getByRole('option', { name: /BKP004L8/ }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'BKP004L8' }).waitFor();
  await page.getByRole('button', { name: 'Theme' }).click();
  await page.getByRole('menuitem', { name: 'Dark' }).click();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  await page.reload();
  await page.getByRole('heading', { name: 'BKP004L8' }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
});

test('a viewer sees everything and changes nothing', async () => {
  const context = await browser.chromium.newContext({ viewport: { width: 1200, height: 800 }, ignoreHTTPSErrors: true });
  const one = await browser.page({ context });
  await logIn(one, 'viewer');
  assert.equal(await one.getByRole('link', { name: 'Users' }).count(), 0);
  await one.goto(`${gateway.url}/#/tapes/BKP004L8`);
  assert.equal(await one.getByRole('button', { name: 'Archive' }).isDisabled(), true);
  await one.goto(`${gateway.url}/#/library`);
  const from = one.locator('[aria-label^="slot 4:"]');
  await from.click();
  await one.locator('[aria-label^="slot 30:"]').click();
  await browser.shot(one, 'viewer');
  const { Slots } = await gateway.cli('library', 'status');
  assert.equal(Slots.find((s) => s.Number === 4).Barcode, 'BKP004L8');
  await context.close();
});

test('log out ends the session', async () => {
  await page.getByRole('button', { name: /Account of/ }).click();
  await page.getByRole('menuitem', { name: 'Log out' }).click();
  await page.getByLabel('Access key ID').waitFor();
  await page.reload();
  await page.getByLabel('Access key ID').waitFor();
});

test('1,500 tapes: only what is in sight is in the document', async (t) => {
  const big = await Gateway.start({ slots: 1500 });
  try {
    const key = await big.cli('user', 'add', 'anna', '--role', 'admin');
    await big.cli('tape', 'create', '--barcode', 'LIB0001L8', '--size', '1TiB', '--count', '1000');
    await big.cli('tape', 'create', '--barcode', 'LIB1001L8', '--size', '1TiB', '--count', '500');
    const context = await browser.chromium.newContext({ viewport: { width: 1440, height: 900 }, ignoreHTTPSErrors: true });
    const kept = browser.origin;
    browser.origin = big.url;
    const one = await browser.page({ context });
    await one.goto(big.url);
    await one.getByLabel('Access key ID').fill(key.AccessKeyId);
    await one.getByLabel('Secret access key').fill(key.SecretAccessKey);
    await one.getByRole('button', { name: 'Log in' }).click();
    await one.getByRole('heading', { name: 'Live' }).waitFor();
    await one.goto(`${big.url}/#/library`);
    await one.reload();
    await one.locator('[aria-label^="slot 1500: LIB1500L8"]').waitFor();
    const paint = await one.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
    const drawn = await one.evaluate(() => performance.now());
    t.diagnostic(`library of 1,500 tapes: first paint ${Math.round(paint)} ms, every slot drawn by ${Math.round(drawn)} ms`);
    await browser.shot(one, 'library-1500');
    await one.goto(`${big.url}/#/tapes`);
    await one.getByText('1,500 tapes,').waitFor();
    assert.ok(await one.locator('tbody tr').count() < 120);
    await one.locator('tbody tr').nth(2).focus();
    await one.keyboard.press('End');
    await one.getByRole('row', { name: /LIB1500L8/ }).waitFor();
    await browser.shot(one, 'tapes-1500');
    await context.close();
    browser.origin = kept;
  } finally {
    await big.stop();
  }
});

test('no console error, no foreign request, under 300 KB in all', () => {
  browser.quiet();
  const total = [...browser.bytes.values()].reduce((a, b) => a + b, 0);
  assert.ok(browser.bytes.size > 15, 'the files were seen');
  assert.ok(total < 300 * 1000, `${total} bytes`);
});
