// Who is logged in over iSCSI, and to what.
import { h, icon, render } from './dom.js';
import { call, callAws, poll } from './api.js';
import { Table } from './table.js';
import { live } from './live.js';
import { empty, failure, loading, panel, toast } from './ui.js';
import { bytes, count } from './format.js';

function copyable(text) {
  return h('span', { class: 'copy' }, h('code', { class: 'wrap' }, text),
    navigator.clipboard && h('button', { type: 'button', class: 'ghost small', 'aria-label': `Copy ${text}`,
      onclick: () => navigator.clipboard.writeText(text).then(() => toast('Copied.')) }, icon('copy')));
}

function targets(devices) {
  const end = live.status?.Endpoints?.[0] || '';
  return panel('Targets', { key: 'targets' }, h('p', { class: 'pad muted' }, 'What initiators may log in to, at ', h('code', null, end), '.'),
    h('ul', { class: 'lines' }, devices.map((d) => h('li', { 'data-key': d.VTLDeviceARN },
      h('b', null, d.VTLDeviceType), h('span', { class: 'muted' }, `${d.VTLDeviceVendor} ${d.VTLDeviceProductIdentifier}`),
      h('span', { class: 'grow' }), copyable(d.DeviceiSCSIAttributes.TargetARN.split('/target/')[1] || d.DeviceiSCSIAttributes.TargetARN)))));
}

export default {
  mount(view) {
    const table = new Table({
      caption: 'iSCSI sessions', key: (s) => `${s.Initiator} ${s.Target} ${s.Peer}`,
      none: () => empty('session', 'Nobody is logged in', 'Point an initiator at one of the targets below: iscsiadm -m discovery -t sendtargets -p HOST'),
      columns: [
        { id: 'initiator', phone: 1, title: 'Initiator', class: 'name', sort: (s) => s.Initiator, cell: (s) => h('span', { class: 'mono wrap' }, s.Initiator) },
        { id: 'target', phone: 3, title: 'Target', class: 'wide', sort: (s) => s.Target, cell: (s) => h('span', { class: 'mono wrap' }, s.Target.split(':').pop()) },
        { id: 'peer', title: 'From', class: 'wide-only', sort: (s) => s.Peer, cell: (s) => h('span', { class: 'mono' }, s.Peer) },
        { id: 'commands', title: 'Commands', class: 'num', sort: (s) => s.Commands, cell: (s) => count(s.Commands) },
        { id: 'received', phone: 2, title: 'Received', class: 'num', sort: (s) => s.BytesReceived, cell: (s) => bytes(s.BytesReceived) },
        { id: 'sent', title: 'Sent', class: 'num', sort: (s) => s.BytesSent, cell: (s) => bytes(s.BytesSent) },
      ],
    });
    table.root.classList.add('fit');
    const below = h('div');
    render(view, loading('the sessions'));
    let ready = false;
    const asking = [poll((s) => call('ListSessions', {}, s), 3000, ({ Sessions }) => {
      if (!ready) view.replaceChildren(table.root, below);
      ready = true;
      table.setRows(Sessions);
    }, (problem) => !ready && render(view, failure(problem)))];
    asking.push(poll((s) => callAws('DescribeVTLDevices', {}, s), 30000, (a) => render(below, targets(a.VTLDevices))));
    return { destroy: () => { asking.forEach((p) => p.stop()); table.destroy(); } };
  },
};
