// One volume: its disk, its space, its recovery points.
import { h, icon, render } from './dom.js';
import { call, poll } from './api.js';
import { Table } from './table.js';
import { makePoint, pointActions, volumeActions, volumePill } from './volume-actions.js';
import { banner, button, empty, facts, failure, loading, menu, meter, panel } from './ui.js';
import { ago, bytes, count, percent, plural, when } from './format.js';

class VolumePage {
  constructor(view, [name]) {
    this.view = view;
    this.name = name;
    this.head = h('div', { class: 'stack' });
    this.points = new Table({
      caption: `Recovery points of ${name}`, key: (p) => p.Id, sort: ['created', true],
      none: () => empty('snapshot', 'No recovery points', 'Make one before something risky, or let a schedule make them.'),
      columns: [
        { id: 'name', phone: 1, title: 'Name', class: 'name', sort: (p) => p.Name, cell: (p) => h('b', null, p.Name || '–') },
        { id: 'created', phone: 3, title: 'Made', sort: (p) => p.Created, cell: (p) => `${when(p.Created)} (${ago(p.Created)})` },
        { id: 'size', title: 'Size', class: 'num wide-only', sort: (p) => p.SizeInBytes, cell: (p) => bytes(p.SizeInBytes) },
        { id: 'about', title: 'About', class: 'wide-only clip', cell: (p) => p.About?.Description || p.About?.description || p.About?.Schedule || '' },
        { id: 'mounted', title: 'Mounted as', class: 'wide-only', cell: (p) => p.MountedAs || '' },
        { id: 'acts', title: '', class: 'acts', cell: (p) => menu('', () => pointActions(p, () => this.refresh()), { kind: 'ghost', symbol: 'more', name: `Actions for recovery point ${p.Name}` }) },
      ],
    });
    this.points.root.classList.add('fit');
    render(view, loading(name));
    this.poll = poll(async (s) => {
      [this.volume, this.list] = await Promise.all([call('DescribeVolume', { Volume: name }, s), call('ListRecoveryPoints', { Volume: name }, s)]);
    }, 4000, () => this.draw(), (p) => render(view, h('div', { class: 'toolbar' }, h('a', { href: '#/volumes', class: 'back' }, icon('left'), 'Volumes')), failure(p)));
  }

  destroy() {
    this.poll.stop();
    this.points.destroy();
  }

  refresh() {
    this.poll.refresh();
  }

  draw() {
    const v = this.volume;
    if (!this.head.isConnected) this.view.replaceChildren(this.head, h('h2', null, 'Recovery points'), this.points.root);
    const w = v.Writing || {};
    render(this.head, h('div', { class: 'toolbar' }, h('a', { href: '#/volumes', class: 'back' }, icon('left'), 'Volumes'), h('h1', null, v.Name), volumePill(v),
      v.Pinned && h('span', { class: 'pill' }, icon('pin'), 'pinned'), h('span', { class: 'grow' }),
      button('Make a recovery point', { needs: 'CreateRecoveryPoint', kind: 'primary', symbol: 'snapshot', onclick: () => makePoint(v).then((d) => d && this.refresh()) }),
      menu('More', () => volumeActions(this.volume, () => this.refresh()), { symbol: 'more', key: 'more' })),
    v.Problem && banner('bad', v.Problem),
    h('div', { class: 'columns' },
      panel('Space', { key: 'space' }, h('div', { class: 'pad' }, meter(v.MappedInBytes, v.SizeInBytes, 'How full the volume is')), facts(
        ['Written', `${bytes(v.MappedInBytes)} of ${bytes(v.SizeInBytes)} (${percent(v.MappedInBytes, v.SizeInBytes)})`],
        ['Local', bytes(v.LocalInBytes)], ['In the store', bytes(v.StoredInBytes)], ['Mode', v.Mode], ['Encrypted', v.Encrypted ? 'yes' : 'no'],
        v.CloneOf && ['Clone of', h('span', { class: 'mono wrap' }, v.CloneOf)])),
      panel('Disk', { key: 'disk' }, facts(['iSCSI target', h('span', { class: 'mono wrap' }, v.Target || 'none now')], ['Sessions', plural(v.Sessions, 'session')],
        ['Block size', bytes(v.BlockBytes)], ['Created', when(v.Created)], ['Id', h('span', { class: 'mono wrap' }, v.VolumeId)],
        w.WrittenBytes !== undefined && ['Written since opened', bytes(w.WrittenBytes)],
        w.WriteAmplification !== undefined && ['Write amplification', w.WriteAmplification.toFixed(2)],
        w.Extents !== undefined && ['Map', `${plural(w.Extents, 'extent')}, ${bytes(w.MapMemoryBytes)}`], ['Recovery points', count(v.RecoveryPoints)]))));
    this.points.setRows(this.list.RecoveryPoints);
  }
}

export default { mount: (view, args) => new VolumePage(view, args) };
