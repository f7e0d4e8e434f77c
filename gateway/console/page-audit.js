// Who did what, when, with which result: the audit log, newest first.
import { h, render } from './dom.js';
import { call, poll } from './api.js';
import { Table } from './table.js';
import { banner, button, dialog, empty, facts, failure, loading, pill } from './ui.js';
import { count, plural, when } from './format.js';

const PAGE = 1000;

function show(r) {
  dialog({ title: `Record ${r.Sequence}`, wide: true, body: [
    facts(['When', r.Time], ['Who', `${r.Who} (${r.Role})`], ['Access key', h('span', { class: 'mono' }, r.AccessKeyId || '–')],
      ['From', r.From], ['Operation', h('span', { class: 'mono' }, r.Operation)], ['Result', r.Result]),
    h('pre', { tabindex: 0 }, JSON.stringify(r.Input, null, 2))] });
}

class Audit {
  constructor(view) {
    this.view = view;
    this.records = [];
    this.find = '';
    this.table = new Table({
      caption: 'Audit log', key: (r) => r.Sequence, sort: ['seq', true], open: show,
      none: () => empty('audit', this.records.length ? 'No record fits' : 'No records yet', 'Every change and every sign-in is recorded here and cannot be changed afterwards.'),
      columns: [
        { id: 'seq', title: '#', class: 'num narrow', sort: (r) => r.Sequence, cell: (r) => count(r.Sequence) },
        { id: 'time', phone: 2, title: 'When', sort: (r) => r.Sequence, cell: (r) => when(r.Time) },
        { id: 'who', phone: 1, title: 'Who', class: 'name', sort: (r) => r.Who, cell: (r) => [h('b', null, r.Who), h('small', { class: 'muted' }, ` ${r.Role}`)] },
        { id: 'op', phone: 3, title: 'Did', class: 'wide', sort: (r) => r.Operation, cell: (r) => h('span', { class: 'mono' }, r.Operation) },
        { id: 'input', title: 'With', class: 'wide-only clip', cell: (r) => h('span', { class: 'mono muted' }, Object.values(r.Input || {}).filter((v) => typeof v !== 'object').join(' ')) },
        { id: 'from', title: 'From', class: 'widest-only', sort: (r) => r.From, cell: (r) => r.From },
        { id: 'result', phone: 4, title: 'Result', class: 'clip', sort: (r) => r.Result, cell: (r) => (r.Result === 'ok' ? pill('ok', 'ok') : h('span', { class: 'problem', title: r.Result }, r.Result)) },
      ],
    });
    this.state = h('div');
    this.older = h('div', { class: 'row' });
    this.search = h('input', { type: 'search', placeholder: 'Who, what, barcode', 'aria-label': 'Find records',
      oninput: (e) => { this.find = e.target.value.trim().toLowerCase(); this.draw(); } });
    this.bar = h('div', { class: 'toolbar' }, this.search, this.older, h('span', { class: 'grow' }),
      button('Verify the chain', { needs: 'VerifyAudit', symbol: 'check', onclick: (e) => this.verify(e.currentTarget) }));
    render(view, loading('the audit log'));
    this.poll = poll((s) => call('ListAudit', { Limit: PAGE }, s), 6000, (a) => {
      this.add(a.Records);
      this.before ??= a.Before;
      this.draw();
    }, (problem) => !this.ready && render(view, failure(problem)));
  }

  destroy() {
    this.poll.stop();
    this.table.destroy();
  }

  add(records) {
    const known = new Map(this.records.map((r) => [r.Sequence, r]));
    records.forEach((r) => known.set(r.Sequence, r));
    this.records = [...known.values()];
  }

  async verify(go) {
    go.disabled = true;
    try {
      const r = await call('VerifyAudit');
      render(this.state, r.Ok ? banner('ok', `The chain is whole: ${plural(r.Records, 'record')}, the last is ${r.Last}.`)
        : banner('bad', h('b', null, 'The chain is broken.'), h('ul', null, r.Problems.map((p) => h('li', null, p)))));
    } catch (problem) {
      render(this.state, failure(problem));
    }
    go.disabled = false;
  }

  draw() {
    if (!this.ready) {
      this.ready = true;
      this.view.replaceChildren(this.bar, this.state, this.table.root);
    }
    render(this.older, this.before ? button('Older records', { onclick: async () => {
      const a = await call('ListAudit', { Limit: PAGE, Before: this.before });
      this.add(a.Records);
      this.before = a.Before || 0;
      this.draw();
    } }) : '');
    this.table.setRows(this.records.filter((r) => !this.find || JSON.stringify(r).toLowerCase().includes(this.find)));
  }
}

export default { mount: (view) => new Audit(view) };
