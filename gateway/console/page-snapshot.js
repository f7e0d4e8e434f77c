// One archive: the EBS volume it is of, and its snapshots with their lineage.
import { h, icon, render } from './dom.js';
import { call, poll } from './api.js';
import { Table } from './table.js';
import { go } from './app.js';
import { archiveSnapshots, deleteArchive, deleteSnapshot, pullSnapshot, reassignSnapshots, restoreSnapshot, retrieveSnapshots } from './snapshot-actions.js';
import { banner, button, dialog, empty, facts, failure, loading, menu, panel, pill } from './ui.js';
import { bytes, count, when } from './format.js';

const BLOCK = 512 * 1024;

class Archive {
  constructor(view, [name]) {
    this.view = view;
    this.name = name;
    this.head = h('div', { class: 'stack' });
    this.table = new Table({
      caption: `Snapshots of ${name}`, key: (p) => p.Id, sort: ['started', true], open: (p) => this.show(p),
      none: () => empty('snapshot', 'Nothing whole yet', 'The first pull is under way, or was never finished.'),
      columns: [
        { id: 'id', phone: 1, title: 'Snapshot', class: 'name', sort: (p) => p.SnapshotId || p.Name, cell: (p) => h('span', { class: 'mono' }, p.SnapshotId || p.Name) },
        { id: 'started', phone: 2, title: 'Taken', sort: (p) => p.Started || p.Created, cell: (p) => when(p.Started || p.Created) },
        { id: 'base', title: 'Since', class: 'wide-only', cell: (p) => (p.Base ? h('span', { class: 'mono muted' }, p.Base) : 'in full') },
        { id: 'fetched', phone: 3, title: 'Fetched', class: 'num', sort: (p) => p.FetchedBlocks ?? 0, cell: (p) => bytes((p.FetchedBlocks ?? 0) * BLOCK) },
        { id: 'stored', title: 'New', class: 'num wide-only', sort: (p) => p.StoredBlocks ?? 0, cell: (p) => bytes((p.StoredBlocks ?? 0) * BLOCK) },
        { id: 'about', phone: 4, title: 'Description', class: 'wide-only clip', cell: (p) => p.Description || '' },
        { id: 'pushed', title: 'Restored to', class: 'wide-only clip', cell: (p) => h('span', { class: 'mono' }, (p.RestoredTo || []).join(' ')) },
        { id: 'acts', title: '', class: 'acts', cell: (p) => menu('', () => this.actions(p), { kind: 'ghost', symbol: 'more', name: `Actions for ${p.SnapshotId || p.Name}` }) },
      ],
    });
    this.table.root.classList.add('fit');
    render(view, loading(name));
    this.poll = poll((s) => call('DescribeSnapshotArchive', { Archive: name }, s), 3000, (a) => { this.archive = a; this.draw(); },
      (p) => render(view, h('div', { class: 'toolbar' }, h('a', { href: '#/snapshots', class: 'back' }, icon('left'), 'EBS snapshots')), failure(p)));
  }

  destroy() {
    this.poll.stop();
    this.table.destroy();
  }

  actions(p) {
    const after = () => this.poll.refresh();
    return [['Make an EBS snapshot of it …', () => restoreSnapshot(`${this.name}@${p.Id}`).then(after), { needs: 'RestoreSnapshot', symbol: 'up' }],
      ['Delete …', () => deleteSnapshot(this.name, p).then(after), { needs: 'DeleteArchivedSnapshot', danger: true, symbol: 'close' }]];
  }

  show(p) {
    dialog({ title: p.SnapshotId || p.Name, body: facts(
      ['Of', h('span', { class: 'mono' }, p.VolumeId || '–')], ['Taken', when(p.Started)], ['Pulled', when(p.Pulled)],
      ['Since', p.Base ? h('span', { class: 'mono' }, p.Base) : 'in full'], ['Size', p.VolumeSizeInGiB ? `${p.VolumeSizeInGiB} GiB` : bytes(p.SizeInBytes)],
      ['Listed blocks', count(p.ListedBlocks)], ['Fetched', count(p.FetchedBlocks)], ['New here', count(p.StoredBlocks)], ['Gone', count(p.RemovedBlocks)],
      ['Encrypted in EC2', p.Encrypted ? `yes${p.KmsKeyId ? `, ${p.KmsKeyId}` : ''}` : 'no'], p.Description && ['Description', p.Description],
      ...Object.entries(p.Tags || {}).map(([k, v]) => [`Tag ${k}`, v]), p.RestoredTo?.length > 0 && ['Restored to', p.RestoredTo.join(', ')]) });
  }

  draw() {
    const a = this.archive;
    if (!this.head.isConnected) this.view.replaceChildren(this.head, this.table.root);
    render(this.head, h('div', { class: 'toolbar' }, h('a', { href: '#/snapshots', class: 'back' }, icon('left'), 'EBS snapshots'), h('h1', null, a.Name),
      a.Pull ? pill('pulling', 'busy') : pill(a.Status.toLowerCase(), a.Status === 'AVAILABLE' ? 'ok' : ''), h('span', { class: 'grow' }),
      ['ARCHIVED', 'RETRIEVED', 'IRRECOVERABLE'].includes(a.Status) && button('Retrieve', { needs: 'RetrieveSnapshots', symbol: 'up', onclick: () => retrieveSnapshots(a.Name).then(() => this.poll.refresh()) }),
      ['AVAILABLE', 'RETRIEVED', 'IRRECOVERABLE'].includes(a.Status) && button('Archive', { needs: 'ArchiveSnapshots', symbol: 'down', onclick: () => archiveSnapshots(a.Name).then(() => this.poll.refresh()) }),
      button('Pull a snapshot', { needs: 'PullSnapshot', kind: 'primary', symbol: 'down', onclick: () => pullSnapshot('', { Region: a.Region }).then(() => this.poll.refresh()) }),
      menu('More', () => [
        ['Move to another pool …', () => reassignSnapshots(this.archive).then(() => this.poll.refresh()), { needs: 'AssignSnapshotPool', symbol: 'pool' }],
        ['Delete …', () => deleteArchive(this.archive).then((done) => done && go('snapshots')), { needs: 'DeleteArchivedSnapshot', danger: true, symbol: 'close' }],
      ], { symbol: 'more', key: 'more' })),
    a.Problem && banner('bad', a.Problem),
    a.Pull && banner('info', `Pulling ${a.Pull.SnapshotId}${a.Pull.Base ? ` against ${a.Pull.Base}` : ' in full'}: block ${count(a.Pull.NextBlock)}. `, h('a', { href: '#/jobs' }, 'Jobs')),
    panel('Archive', { key: 'archive' }, facts(['EBS volume', h('span', { class: 'mono' }, a.VolumeId)], ['Region', a.Region || '–'], a.Account && ['Account', a.Account],
      ['Size', bytes(a.SizeInBytes)], ['Here', bytes(a.LocalInBytes)], ['In the store', bytes(a.StoredInBytes)],
      ['Pool', a.Pool || 'STANDARD'], a.ReadableUntil && ['Readable until', when(a.ReadableUntil)])));
    this.table.setRows(a.Points || []);
  }
}

export default { mount: (view, args) => new Archive(view, args) };
