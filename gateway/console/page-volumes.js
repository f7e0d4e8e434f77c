// Block volumes, their schedules, and recovery points mounted as disks.
import { h, icon, render } from './dom.js';
import { call, knows, poll } from './api.js';
import { go } from './app.js';
import { Table } from './table.js';
import { createVolume, importVolume, schedule, volumeActions, volumePill } from './volume-actions.js';
import { attempt, button, confirm, empty, failure, loading, menu, meter, panel, toast } from './ui.js';
import { ago, bytes, count, percent, when } from './format.js';

class Volumes {
  constructor(view) {
    this.view = view;
    this.table = new Table({
      caption: 'Volumes', key: (v) => v.Name, open: (v) => go('volumes', v.Name),
      none: () => empty('volume', 'No volumes yet', 'A volume is an iSCSI disk whose blocks go to the object store; it takes space as it is written.',
        button('Create a volume', { needs: 'CreateVolume', kind: 'primary', symbol: 'plus', onclick: () => this.create() })),
      columns: [
        { id: 'name', phone: 1, title: 'Name', class: 'name', sort: (v) => v.Name, cell: (v) => [h('a', { href: `#/volumes/${encodeURIComponent(v.Name)}`, tabindex: -1 }, v.Name),
          v.Pinned && [icon('pin'), h('span', { class: 'sr' }, 'pinned')]] },
        { id: 'status', phone: 2, title: 'Status', class: 'state', sort: (v) => v.Status, cell: (v) => [volumePill(v), v.Problem && h('span', { class: 'pill bad', title: v.Problem }, 'problem')] },
        { id: 'mode', title: 'Mode', class: 'wide-only', sort: (v) => v.Mode, cell: (v) => v.Mode },
        { id: 'used', phone: 3, title: 'Written', class: 'used', sort: (v) => v.MappedInBytes, cell: (v) => [h('span', null, bytes(v.MappedInBytes)),
          meter(v.MappedInBytes, v.SizeInBytes, `${v.Name}: how full`), h('small', { class: 'muted' }, percent(v.MappedInBytes, v.SizeInBytes))] },
        { id: 'size', phone: 4, title: 'Size', class: 'num', sort: (v) => v.SizeInBytes, cell: (v) => bytes(v.SizeInBytes) },
        { id: 'local', title: 'Local', class: 'num wide-only', sort: (v) => v.LocalInBytes, cell: (v) => bytes(v.LocalInBytes) },
        { id: 'stored', title: 'In the store', class: 'num wide-only', sort: (v) => v.StoredInBytes, cell: (v) => bytes(v.StoredInBytes) },
        { id: 'points', title: 'Recovery points', class: 'num wide-only', sort: (v) => v.RecoveryPoints, cell: (v) => count(v.RecoveryPoints) },
        { id: 'sessions', title: 'Sessions', class: 'num widest-only', sort: (v) => v.Sessions, cell: (v) => count(v.Sessions) },
        { id: 'acts', title: '', class: 'acts', cell: (v) => menu('', () => volumeActions(v, () => this.refresh()), { kind: 'ghost', symbol: 'more', name: `Actions for ${v.Name}` }) },
      ],
    });
    this.table.root.classList.add('fit');
    this.bar = h('div', { class: 'toolbar' }, h('p', { class: 'muted' }, 'Thin-provisioned disks over iSCSI, each with a target of its own.'), h('span', { class: 'grow' }),
      knows('ImportVolume') && button('Import a file', { needs: 'ImportVolume', symbol: 'up', onclick: () => importVolume().then((d) => d && this.refresh()) }),
      button('Create a volume', { needs: 'CreateVolume', kind: 'primary', symbol: 'plus', onclick: () => this.create() }));
    this.below = h('div', { class: 'columns' });
    render(view, loading('the volumes'));
    this.poll = poll(async (s) => {
      const [list, plans] = await Promise.all([call('ListVolumes', {}, s), knows('ListVolumeSchedules') ? call('ListVolumeSchedules', {}, s) : { Schedules: [] }]);
      return { ...list, ...plans };
    }, 4000, (a) => this.show(a), (p) => !this.ready && render(view, failure(p)));
  }

  destroy() {
    this.poll.stop();
    this.table.destroy();
  }

  refresh() {
    this.poll.refresh();
  }

  async create() {
    const made = await createVolume();
    if (!made) return;
    toast(`${made.Name} is there.`);
    this.refresh();
  }

  show(a) {
    this.volumes = a.Volumes;
    if (!this.ready) {
      this.ready = true;
      this.view.replaceChildren(this.bar, this.table.root, this.below);
    }
    this.table.setRows(a.Volumes);
    render(this.below, this.drawSchedules(a.Schedules), a.Mounts?.length > 0 && this.drawMounts(a.Mounts));
  }

  drawSchedules(schedules) {
    if (!knows('ListVolumeSchedules') || !this.volumes.length) return null;
    const edit = (s) => schedule(this.volumes, s).then((d) => d && this.refresh());
    return panel('Schedules of recovery points', { key: 'schedules', tools: button('Add', { needs: 'PutVolumeSchedule', kind: 'small', symbol: 'plus', onclick: () => edit() }) },
      schedules.length ? h('ul', { class: 'lines' }, schedules.map((s) => h('li', { 'data-key': s.Name },
        h('div', { class: 'grow' }, h('b', null, s.Name), h('p', { class: 'muted' }, `${s.Volumes.join(', ')} · ${s.When} · keeps ${s.Keep}`),
          s.Problem && h('p', { class: 'problem' }, s.Problem)),
        h('span', { class: 'muted' }, s.NextRun ? `next ${when(s.NextRun)}` : '', s.LastRun ? h('small', null, `, last ${ago(s.LastRun)}`) : ''),
        menu('', () => [['Run now', () => attempt(() => call('RunVolumeSchedule', { Name: s.Name }), 'Recovery points made.').then(() => this.refresh()), { needs: 'RunVolumeSchedule', symbol: 'right' }],
          ['Change …', () => edit(s), { needs: 'PutVolumeSchedule', symbol: 'policy' }],
          ['Delete …', () => confirm({ title: `Delete schedule ${s.Name}`, action: 'Delete', text: 'Recovery points that it made stay.', submit: () => call('DeleteVolumeSchedule', { Name: s.Name }) }).then(() => this.refresh()),
            { needs: 'DeleteVolumeSchedule', danger: true, symbol: 'close' }]], { kind: 'ghost', symbol: 'more', name: `Actions for schedule ${s.Name}`, key: s.Name }))))
        : h('p', { class: 'muted pad' }, 'Add one, and recovery points are made by the clock and thinned out again.'));
  }

  drawMounts(mounts) {
    return panel('Mounted recovery points', { key: 'mounts' }, h('ul', { class: 'lines' }, mounts.map((m) => h('li', { 'data-key': m.Name },
      h('div', { class: 'grow' }, h('b', null, m.Name), h('p', { class: 'muted mono wrap' }, m.Target), m.Problem && h('p', { class: 'problem' }, m.Problem)),
      h('span', { class: 'muted' }, `${m.RecoveryPoint.Volume}, ${m.RecoveryPoint.Name}`),
      button('Unmount', { needs: 'UnmountRecoveryPoint', kind: 'small', symbol: 'eject', onclick: () => attempt(() => call('UnmountRecoveryPoint', { Name: m.Name }), 'Unmounted.').then(() => this.refresh()) })))));
  }
}

export default { mount: (view) => new Volumes(view) };
