// Every tape, in the library and on the shelf.
import { h, icon, render } from './dom.js';
import { call, may, poll } from './api.js';
import { go } from './app.js';
import { Table } from './table.js';
import { createTapes, forEach, inLibrary, archived, tapeActions } from './tape-actions.js';
import { button, confirm, empty, failure, jobProgress, loading, menu, meter, tapePill, tapeState, toast } from './ui.js';
import { bytes, count, money, percent, plural, when } from './format.js';

const PAGE = 5000;
const FILTERS = [['all', 'All', () => true], ['library', 'In the library', inLibrary], ['archived', 'Archived', archived],
  ['busy', 'Under way', (t) => !!t.Job], ['problem', 'Problems', (t) => !!t.Problem]];

async function everyTape(signal) {
  const out = [];
  let after = '';
  do {
    const page = await call('ListTapes', { Limit: PAGE, Costs: true, ...(after && { After: after }) }, signal);
    out.push(...page.Tapes);
    after = page.After;
  } while (after);
  return out;
}

class Tapes {
  constructor(view) {
    this.view = view;
    this.tapes = [];
    this.find = '';
    this.filter = 'all';
    this.chosen = new Set();
    const marks = (t) => [t.Pinned && [icon('pin'), h('span', { class: 'sr' }, 'pinned')],
      t.Worm && [icon('worm'), h('span', { class: 'sr' }, 'write once')],
      t.LockedUntil && [icon('lock'), h('span', { class: 'sr' }, `locked until ${when(t.LockedUntil)}`)]];
    this.table = new Table({
      caption: 'Tapes', key: (t) => t.Barcode, open: (t) => go('tapes', t.Barcode),
      select: (keys) => { this.chosen = keys; this.drawBar(); },
      none: () => (this.tapes.length ? empty('search', 'No tape fits', 'Choose another filter, or clear the search.')
        : empty('tape', 'No tapes yet', 'Create the first ones; they appear in empty slots, ready to be inventoried.',
          button('Create tapes', { needs: 'CreateTapes', kind: 'primary', symbol: 'plus', onclick: () => this.create() }))),
      columns: [
        { id: 'barcode', phone: 1, title: 'Barcode', class: 'name', sort: (t) => t.Barcode,
          cell: (t) => [h('a', { class: 'mono', href: `#/tapes/${t.Barcode}`, tabindex: -1 }, t.Barcode), marks(t)] },
        { id: 'status', phone: 2, title: 'Status', class: 'state', sort: (t) => tapeState(t.Status)[0],
          cell: (t) => (t.Job ? [tapePill(t.Status), jobProgress(t.Job)] : [tapePill(t.Status), t.Problem && h('span', { class: 'pill bad', title: t.Problem }, 'problem')]) },
        { id: 'location', title: 'Where', class: 'wide-only', sort: (t) => t.Address ?? 1e9, cell: (t) => t.Location || h('span', { class: 'muted' }, 'shelf') },
        { id: 'used', phone: 3, title: 'Used', class: 'used', sort: (t) => t.UsedInBytes,
          cell: (t) => [h('span', null, bytes(t.UsedInBytes)), meter(t.UsedInBytes, t.SizeInBytes, `${t.Barcode}: how full`),
            h('small', { class: 'muted' }, percent(t.UsedInBytes, t.SizeInBytes))] },
        { id: 'stored', title: 'In the store', class: 'num wider-only', sort: (t) => t.StoredInBytes, cell: (t) => bytes(t.StoredInBytes) },
        { id: 'cost', phone: 4, title: 'A month', class: 'num', sort: (t) => t.MonthlyCost ?? 0, cell: (t) => money(t.MonthlyCost, t.Currency) },
        { id: 'pool', title: 'Pool', class: 'wider-only', sort: (t) => t.Pool, cell: (t) => t.Pool },
        { id: 'medium', title: 'Medium', class: 'widest-only', sort: (t) => t.Medium, cell: (t) => t.Medium },
        { id: 'created', title: 'Created', class: 'widest-only', sort: (t) => t.Created, cell: (t) => when(t.Created).slice(0, 10) },
        { id: 'acts', title: '', class: 'acts', cell: (t) => menu('', () => tapeActions(t, () => this.poll.refresh()), { kind: 'ghost', symbol: 'more', name: `Actions for ${t.Barcode}` }) },
      ],
    });
    this.search = h('input', { type: 'search', class: 'mono', placeholder: 'Barcode', 'aria-label': 'Find a barcode',
      oninput: (e) => { this.find = e.target.value.trim().toUpperCase(); this.draw(); } });
    this.filters = h('div', { class: 'segmented', role: 'group', 'aria-label': 'Which tapes' });
    this.acts = h('div', { class: 'row' });
    this.bar = h('div', { class: 'toolbar' }, this.search, this.filters, h('span', { class: 'grow' }), this.acts);
    this.sum = h('p', { class: 'sum muted', 'aria-live': 'polite' });
    render(view, loading('the tapes'));
    this.poll = poll(everyTape, () => (this.tapes.some((t) => t.Job) ? 3000 : 8000) + this.tapes.length, (tapes) => {
      this.tapes = tapes;
      this.show();
    }, (problem) => !this.ready && render(this.view, failure(problem)));
  }

  destroy() {
    this.poll.stop();
    this.table.destroy();
  }

  async create() {
    const made = await createTapes();
    if (!made) return;
    toast(`Created ${plural(made.Tapes.length, 'tape')}.`);
    this.poll.refresh();
  }

  show() {
    if (!this.ready) {
      this.ready = true;
      this.view.replaceChildren(this.bar, this.sum, this.table.root);
    }
    this.draw();
  }

  draw() {
    const fits = FILTERS.find(([id]) => id === this.filter)[2];
    const shown = this.tapes.filter((t) => fits(t) && (!this.find || t.Barcode.includes(this.find)));
    render(this.filters, FILTERS.map(([id, text, test]) => h('button', {
      type: 'button', 'aria-pressed': String(this.filter === id),
      onclick: () => { this.filter = id; this.draw(); },
    }, text, h('small', null, count(this.tapes.filter(test).length)))));
    const add = (name) => shown.reduce((n, t) => n + (t[name] || 0), 0);
    this.sum.textContent = `${plural(shown.length, 'tape')}, ${bytes(add('UsedInBytes'))} of data, ` +
      `${bytes(add('StoredInBytes'))} in the store, ${money(add('MonthlyCost'), shown[0]?.Currency)} a month`;
    this.table.setRows(shown);
    this.drawBar();
  }

  drawBar() {
    const picked = this.tapes.filter((t) => this.chosen.has(t.Barcode));
    const many = (op, text, list) => async () => {
      if (await confirm({ title: `${text} ${plural(list.length, 'tape')}`, action: text, danger: false,
        text: list.slice(0, 20).map((t) => t.Barcode).join(', ') + (list.length > 20 ? ' …' : ''), submit: async () => true })) {
        const n = await forEach(list, op, `${text} tapes`);
        toast(`${text}: begun for ${plural(n, 'tape')}.`);
        this.table.selected.clear();
        this.chosen = new Set();
        this.poll.refresh();
      }
    };
    const here = picked.filter(inLibrary);
    const away = picked.filter(archived);
    render(this.acts, picked.length > 0 && [
      h('span', { class: 'muted' }, `${picked.length} selected`),
      button(`Archive ${here.length}`, { needs: 'ArchiveTape', symbol: 'down', disabled: !here.length, onclick: many('ArchiveTape', 'Archive', here) }),
      button(`Retrieve ${away.length}`, { needs: 'RetrieveTape', symbol: 'up', disabled: !away.length, onclick: many('RetrieveTape', 'Retrieve', away) }),
      button(`Verify ${here.length}`, { needs: 'VerifyTape', symbol: 'check', disabled: !here.length, onclick: many('VerifyTape', 'Verify', here) })],
    may('CreateTapes') && button('Create tapes', { kind: 'primary', symbol: 'plus', onclick: () => this.create() }));
  }
}

export default { mount: (view) => new Tapes(view) };
