// What takes long: under way first, with progress and time left.
import { h, render } from './dom.js';
import { call, poll } from './api.js';
import { Table } from './table.js';
import { attempt, button, dialog, empty, facts, failure, jobPill, jobProgress, loading } from './ui.js';
import { ago, bytes, count, duration, plural, when } from './format.js';

const OPEN = ['queued', 'running', 'waiting'];
export const isOpen = (job) => OPEN.includes(String(job.State).toLowerCase());

// Where what a job is of is shown, and who ends the job.
const WHERE = { tape: 'tapes', volume: 'volumes', archive: 'snapshots' };
const CANCEL = {
  tape: ['CancelTapeJob', (j) => ({ Barcode: j.Barcode })],
  volume: ['CancelVolumeJob', (j) => ({ Volume: j.Barcode })],
  archive: ['CancelSnapshotJob', (j) => ({ JobId: j.JobId })],
};

class Jobs {
  constructor(view) {
    this.view = view;
    this.only = 'all';
    this.seen = new Map();  // id -> [ms, bytes] when first seen here: for the time left
    this.table = new Table({
      caption: 'Jobs', key: (j) => j.JobId, sort: ['id', true], open: (j) => this.show(j),
      none: () => (this.jobs?.length ? empty('check', 'Nothing is under way', 'Choose All to see what was done.')
        : empty('job', 'No jobs yet', 'Archiving, retrieving, verifying and deleting tapes are jobs. They go on when you close this page.')),
      columns: [
        { id: 'id', title: '#', class: 'num narrow', sort: (j) => (isOpen(j) ? 1e12 : 0) + j.JobId, cell: (j) => j.JobId },
        { id: 'kind', phone: 1, title: 'What', sort: (j) => j.Kind, cell: (j) => h('b', null, j.Kind.replaceAll('_', ' ')) },
        { id: 'name', phone: 3, title: 'Of', class: 'name', sort: (j) => j.Barcode || j.Name || '', cell: (j) => (WHERE[j.Type] ? h('a', { class: 'mono', tabindex: -1, href: `#/${WHERE[j.Type]}/${encodeURIComponent(j.Barcode)}` }, j.Barcode) : h('span', { class: 'mono' }, j.Barcode || '')) },
        { id: 'state', phone: 2, title: 'State', sort: (j) => j.State, cell: (j) => jobPill(j.State) },
        { id: 'progress', phone: 4, title: 'Progress', class: 'wide', cell: (j) => (isOpen(j) ? jobProgress(j) : j.Error ? h('span', { class: 'problem' }, j.Error)
          : h('span', { class: 'muted' }, j.DoneBytes ? bytes(j.DoneBytes) : '')) },
        { id: 'left', title: 'Left', class: 'wide-only', cell: (j) => this.left(j) },
        { id: 'created', title: 'Begun', class: 'wide-only', sort: (j) => j.Created, cell: (j) => ago(j.Created) },
      ],
    });
    this.filters = h('div', { class: 'segmented', role: 'group', 'aria-label': 'Which jobs' });
    render(view, loading('the jobs'));
    this.poll = poll((s) => call('ListJobs', { Limit: 1000 }, s), () => (this.jobs?.some(isOpen) ? 1500 : 5000), (a) => {
      this.jobs = a.Jobs;
      this.draw();
    }, (problem) => !this.jobs && render(view, failure(problem)));
  }

  destroy() {
    this.poll.stop();
    this.table.destroy();
  }

  left(j) {
    if (!isOpen(j)) return '';
    if (j.ExpectedBy) return ago(j.ExpectedBy);
    if (!j.TotalBytes) return '';
    const now = Date.now();
    const first = this.seen.get(j.JobId);
    if (!first) {
      this.seen.set(j.JobId, [now, j.DoneBytes]);
      return '';
    }
    const moved = j.DoneBytes - first[1];
    return moved > 0 ? duration(((j.TotalBytes - j.DoneBytes) / moved) * (now - first[0])) : '';
  }

  show(j) {
    dialog({
      title: `Job ${j.JobId}`,
      body: [facts(['What', j.Kind.replaceAll('_', ' ')], ['Of', h('span', { class: 'mono' }, j.Barcode || j.Name || '–')], ['State', jobPill(j.State)],
        ['Step', j.Step || '–'], ['Bytes', `${bytes(j.DoneBytes)} of ${bytes(j.TotalBytes)}`],
        ['Objects', `${count(j.DoneObjects)} of ${count(j.TotalObjects)}`], j.Tier && ['Tier', j.Tier], j.Days && ['Days', j.Days],
        j.Pool && ['Pool', j.Pool], j.Parts && ['Parts', j.Parts], ['Begun', when(j.Created)], ['Last change', when(j.Updated)],
        j.ExpectedBy && ['Expected by', when(j.ExpectedBy)], j.NotBefore && ['Looks again', when(j.NotBefore)]),
      j.Error && h('p', { class: 'problem' }, j.Error),
      isOpen(j) && CANCEL[j.Type] && button('Cancel this job', { needs: CANCEL[j.Type][0], symbol: 'close',
        onclick: (e) => { e.target.closest('dialog').close(); attempt(() => call(CANCEL[j.Type][0], CANCEL[j.Type][1](j)), 'Cancelled.').then(() => this.poll.refresh()); } })],
    });
  }

  draw() {
    if (!this.ready) {
      this.ready = true;
      this.view.replaceChildren(h('div', { class: 'toolbar' }, this.filters), this.table.root);
    }
    const open = this.jobs.filter(isOpen);
    const failed = this.jobs.filter((j) => String(j.State).toLowerCase() === 'failed');
    const lists = { all: this.jobs, open, failed };
    render(this.filters, [['all', 'All'], ['open', 'Under way'], ['failed', 'Failed']].map(([id, text]) => h('button', {
      type: 'button', 'aria-pressed': String(this.only === id), onclick: () => { this.only = id; this.draw(); },
    }, text, h('small', null, count(lists[id].length)))));
    this.table.setRows(lists[this.only]);
    document.title = `${open.length ? `${plural(open.length, 'job')} · ` : ''}Jobs · coldshelf`;
  }
}

export default { mount: (view) => new Jobs(view) };
