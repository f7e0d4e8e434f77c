// One tape: its state, where each of its segments is, what it costs, what is under way.
import { h, icon, render } from './dom.js';
import { call, poll } from './api.js';
import { archive, archived, inLibrary, retrieve, tapeActions } from './tape-actions.js';
import { attempt, banner, button, facts, failure, jobPill, jobProgress, loading, menu, meter, panel, tapePill } from './ui.js';
import { ago, bytes, count, money, percent, plural, when } from './format.js';

const KINDS = {
  both: ['here and in the store', 'both'], local: ['here, not uploaded yet', 'local'],
  uploading: ['going up', 'moving'], store: ['in the store', 'store'], cold: ['in an archive class', 'cold'],
  restored: ['restored, readable for now', 'restored'], recalling: ['coming back', 'moving'],
};
const MAX_CELLS = 2400;

export function drawSegments(s) {
  if (!s) return loading('the segments');
  if (!s.Runs.length) return h('p', { class: 'muted pad' }, 'Nothing is written yet, or what is written is not sealed yet.');
  const total = s.Runs.reduce((n, r) => n + r.Segments, 0);
  const each = Math.max(1, Math.ceil(total / MAX_CELLS));
  const cells = [];
  for (const r of s.Runs) {
    const [text, tone] = KINDS[r.Where] || [r.Where, ''];
    for (let n = 0; n < r.Segments; n += each) {
      cells.push(h('i', { class: `seg ${tone}`, title: `From segment ${r.First}: ${plural(r.Segments, 'segment')}, ${bytes(r.Bytes)}, ${text}${r.StorageClass ? ` (${r.StorageClass})` : ''}` }));
    }
  }
  const sums = new Map();
  for (const r of s.Runs) {
    const key = `${r.Where} ${r.StorageClass}`;
    const sum = sums.get(key) || { where: r.Where, cls: r.StorageClass, segments: 0, bytes: 0 };
    sum.segments += r.Segments;
    sum.bytes += r.Bytes;
    sums.set(key, sum);
  }
  return [
    h('div', { class: 'segments', role: 'img', 'aria-label': `${count(total)} segments in the order of the tape` }, cells),
    each > 1 && h('p', { class: 'muted small pad' }, `One square for ${each} segments.`),
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Segments by place' },
      h('table', { class: 'plain' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Where'), h('th', { scope: 'col' }, 'Class'),
        h('th', { scope: 'col', class: 'num' }, 'Segments'), h('th', { scope: 'col', class: 'num' }, 'Bytes'))),
      h('tbody', null, [...sums.values()].map((r) => h('tr', null,
        h('td', null, h('i', { class: `seg ${(KINDS[r.where] || [])[1]}` }), ' ', (KINDS[r.where] || [r.where])[0]),
        h('td', null, r.cls || '–'), h('td', { class: 'num' }, count(r.segments)), h('td', { class: 'num' }, bytes(r.bytes))))))),
  ];
}

class Tape {
  constructor(view, [barcode]) {
    this.view = view;
    this.barcode = barcode;
    render(view, loading(barcode));
    this.polls = [
      poll((s) => call('DescribeTape', { Barcode: barcode }, s), () => (this.tape?.Job ? 1500 : 5000),
        (t) => this.see(t), (p) => this.fail(p)),
      poll((s) => call('ListSegments', { Barcode: barcode }, s), () => (this.tape?.Job ? 4000 : 15000),
        (s) => { this.segments = s; this.draw(); }),
      poll((s) => call('ListJobs', { Limit: 500 }, s), 5000,
        (a) => { this.jobs = a.Jobs.filter((j) => j.Barcode === barcode).slice(0, 20); this.draw(); }),
    ];
  }

  destroy() {
    this.polls.forEach((p) => p.stop());
  }

  refresh() {
    this.polls.forEach((p) => p.refresh());
  }

  // A job that ended has changed where segments are.
  see(tape) {
    const ended = this.tape?.Job && this.tape.Job.JobId !== tape.Job?.JobId;
    this.tape = tape;
    this.draw();
    if (ended) this.polls.slice(1).forEach((p) => p.refresh());
  }

  fail(problem) {
    render(this.view, h('div', { class: 'toolbar' }, h('a', { href: '#/tapes' }, icon('left'), 'Tapes')), failure(problem));
  }

  main(t) {
    const after = () => this.refresh();
    if (t.Job) {
      return button('Cancel', { needs: 'CancelTapeJob', symbol: 'close',
        onclick: () => attempt(() => call('CancelTapeJob', { Barcode: t.Barcode }), 'Cancelled.').then(after) });
    }
    if (inLibrary(t)) return button('Archive', { needs: 'ArchiveTape', symbol: 'down', kind: 'primary', onclick: () => archive(t).then(after) });
    if (archived(t)) return button('Retrieve', { needs: 'RetrieveTape', symbol: 'up', kind: 'primary', onclick: () => retrieve(t).then(after) });
    return null;
  }

  draw() {
    const t = this.tape;
    if (!t) return;
    render(this.view,
      h('div', { class: 'toolbar' }, h('a', { href: '#/tapes', class: 'back' }, icon('left'), 'Tapes'),
        h('h1', { class: 'mono' }, t.Barcode), tapePill(t.Status), t.Worm && h('span', { class: 'pill' }, icon('worm'), 'WORM'),
        t.Pinned && h('span', { class: 'pill' }, icon('pin'), 'pinned'), h('span', { class: 'grow' }), this.main(t),
        menu('More', () => tapeActions(this.tape, () => this.refresh()), { symbol: 'more', key: 'more' })),
      t.Problem && banner('bad', t.Problem),
      t.Job && h('section', { class: 'panel now', 'data-key': 'now' }, h('header', null,
        h('h2', null, t.Job.Kind.replaceAll('_', ' ')), jobPill(t.Job.State)),
      h('div', { class: 'pad' }, jobProgress(t.Job), h('p', { class: 'muted' }, t.Job.Step,
        t.Job.TotalObjects > 0 && ` · ${count(t.Job.DoneObjects)} of ${plural(t.Job.TotalObjects, 'object')}`,
        t.Job.ExpectedBy && ` · expected by ${when(t.Job.ExpectedBy)}`))),
      h('div', { class: 'columns' },
        panel('Tape', { key: 'tape' }, h('div', { class: 'pad' }, meter(t.UsedInBytes, t.SizeInBytes, 'How full the tape is')), facts(
          ['Used', `${bytes(t.UsedInBytes)} of ${bytes(t.SizeInBytes)} (${percent(t.UsedInBytes, t.SizeInBytes)})`],
          ['Where', t.Location || 'on the shelf, not in the library'], ['Medium', t.Medium], ['Pool', t.Pool],
          ['Writable', t.WriteProtected ? 'no' : 'yes'], t.Parts && ['Retrieved', t.Parts],
          t.LegalHold && ['Legal hold', 'yes: cannot be deleted'],
          t.LockedUntil && ['Locked', `${t.Lock.toLowerCase()}, until ${when(t.LockedUntil)}`],
          t.KeyId && ['Key', h('span', { class: 'mono wrap' }, `${t.KeyId} (${t.KeyState})`)],
          ['Created', `${when(t.Created)} (${ago(t.Created)})`], t.Archived && ['Archived', when(t.Archived)],
          ['Id', h('span', { class: 'mono wrap' }, t.Uuid)])),
        panel('Cost', { key: 'cost' }, facts(
          ['A month', h('b', null, money(t.MonthlyCost, t.Currency))],
          t.MonthlyOverhead > 0 && ['Of that for objects', money(t.MonthlyOverhead, t.Currency)],
          ['In the store', `${bytes(t.StoredInBytes)}${t.UsedInBytes && t.StoredInBytes ? ` (${(t.UsedInBytes / t.StoredInBytes).toFixed(2)} : 1)` : ''}`],
          ...(t.Stored || []).map((g) => [g.StorageClass, `${plural(g.Objects, 'object')}, ${bytes(g.Bytes)}`]),
          t.MinimumStorageDays > 0 && ['Minimum storage', plural(t.MinimumStorageDays, 'day')]))),
      panel('Segments', { key: 'segments' }, drawSegments(this.segments)),
      panel('Jobs', { key: 'jobs' }, this.jobs?.length ? h('ul', { class: 'lines' }, this.jobs.map((j) => h('li', { 'data-key': j.JobId, class: 'job' },
        h('b', { class: 'grow' }, j.Kind.replaceAll('_', ' ')), jobPill(j.State), h('span', { class: 'muted' }, when(j.Created)),
        j.Error && h('span', { class: 'problem' }, j.Error))))
        : h('p', { class: 'muted pad' }, 'Nothing was done with this tape yet.')));
  }
}

export default { mount: (view, args) => new Tape(view, args) };
