// EBS snapshots: archives of EBS volumes here, and what EC2 still has.
import { h, render } from './dom.js';
import { call, poll } from './api.js';
import { go } from './app.js';
import { Table } from './table.js';
import { pullSnapshot } from './snapshot-actions.js';
import { button, dialog, empty, failure, field, loading, pill } from './ui.js';
import { ago, bytes, count, when } from './format.js';

const place = (v) => ({ ...(v.Account && { Account: v.Account }), ...(v.Region && { Region: v.Region }) });

// Thrown by a submit that only shows something: the dialog stays.
class KeepOpen extends Error {
  constructor() {
    super('');
    this.quiet = true;
  }
}

// Looks into EC2 and lets one be pulled.
function browse(after) {
  const found = h('div', { 'data-own': true, 'aria-live': 'polite' });
  dialog({
    title: 'Snapshots in EC2', action: 'Look', wide: true,
    body: [h('div', { class: 'two' }, field('VolumeId', 'EBS volume', { class: 'mono', placeholder: 'all' }),
      field('Region', 'Region', { class: 'mono', placeholder: 'the configured one' }), field('Account', 'Account', { placeholder: 'the gateway’s own' })), found],
    submit: async (v) => {
      render(found, loading('what EC2 has'));
      let answer;
      try {
        answer = await call('ListEc2Snapshots', { ...place(v), ...(v.VolumeId && { VolumeId: v.VolumeId }) });
      } catch (problem) {
        render(found);
        throw problem;
      }
      render(found, answer.Snapshots.length ? h('ul', { class: 'lines flat' }, answer.Snapshots.slice(0, 200).map((s) => h('li', null,
        h('div', { class: 'grow' }, h('b', { class: 'mono' }, s.SnapshotId), h('p', { class: 'muted' }, `${s.VolumeId}, ${s.VolumeSizeInGiB} GiB, ${when(s.Started)} ${s.Description}`)),
        pill(s.State === 'completed' ? 'completed' : `${s.State} ${s.Progress}`, s.State === 'completed' ? 'ok' : 'busy'),
        button('Pull', { needs: 'PullSnapshot', kind: 'small', symbol: 'down', onclick: () => pullSnapshot(s.SnapshotId, place(v)).then((d) => d && after()) }))))
        : empty('snapshot', 'EC2 has none', 'Of this volume, in this region and account.'));
      throw new KeepOpen();
    },
  });
}
export default {
  mount(view) {
    const again = () => asking.refresh();
    const table = new Table({
      caption: 'Archives of EBS volumes', key: (a) => a.Name, open: (a) => go('snapshots', a.Name),
      none: () => empty('snapshot', 'No EBS snapshots here yet', 'Pull one: only the blocks that changed since the last pull of the same volume are fetched.',
        button('Pull a snapshot', { needs: 'PullSnapshot', kind: 'primary', symbol: 'down', onclick: () => pullSnapshot().then((d) => d && again()) })),
      columns: [
        { id: 'name', phone: 1, title: 'Archive', class: 'name', sort: (a) => a.Name, cell: (a) => h('a', { href: `#/snapshots/${encodeURIComponent(a.Name)}`, tabindex: -1 }, a.Name) },
        { id: 'volume', phone: 3, title: 'EBS volume', sort: (a) => a.VolumeId, cell: (a) => h('span', { class: 'mono' }, a.VolumeId) },
        { id: 'where', title: 'Region', class: 'wide-only', sort: (a) => a.Region, cell: (a) => [a.Region, a.Account && h('small', { class: 'muted' }, ` ${a.Account}`)] },
        { id: 'state', phone: 2, title: 'Status', class: 'state', sort: (a) => a.Status, cell: (a) => (a.Pull ? pill('pulling', 'busy') : a.Problem ? pill('problem', 'bad') : pill(a.Status.toLowerCase(), a.Status === 'AVAILABLE' ? 'ok' : '')) },
        { id: 'count', title: 'Snapshots', class: 'num', sort: (a) => a.Snapshots, cell: (a) => count(a.Snapshots) },
        { id: 'newest', phone: 4, title: 'Newest', class: 'wide-only', sort: (a) => a.NewestStarted || '', cell: (a) => (a.NewestStarted ? ago(a.NewestStarted) : '–') },
        { id: 'size', title: 'Size', class: 'num', sort: (a) => a.SizeInBytes, cell: (a) => bytes(a.SizeInBytes) },
        { id: 'stored', title: 'In the store', class: 'num wide-only', sort: (a) => a.StoredInBytes, cell: (a) => bytes(a.StoredInBytes) },
      ],
    });
    table.root.classList.add('fit');
    const bar = h('div', { class: 'toolbar' }, h('p', { class: 'muted' }, 'Pulled from AWS, changed blocks only, into the same format as tapes.'), h('span', { class: 'grow' }),
      button('In EC2', { needs: 'ListEc2Snapshots', symbol: 'search', onclick: () => browse(again) }),
      button('Pull a snapshot', { needs: 'PullSnapshot', kind: 'primary', symbol: 'down', onclick: () => pullSnapshot().then((d) => d && again()) }));
    render(view, loading('the archives'));
    const asking = poll((s) => call('ListSnapshotArchives', {}, s), 4000, ({ Archives }) => {
      if (!table.root.isConnected) view.replaceChildren(bar, table.root);
      table.setRows(Archives);
    }, (problem) => !table.root.isConnected && render(view, failure(problem)));
    return { destroy: () => { asking.stop(); table.destroy(); } };
  },
};
