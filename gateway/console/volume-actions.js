// What one does with volumes and their recovery points.
import { h } from './dom.js';
import { call, knows } from './api.js';
import { attempt, banner, confirm, dialog, facts, field, pill, toast } from './ui.js';
import { restoreSnapshot } from './snapshot-actions.js';
import { bytes, parseBytes } from './format.js';

const STATES = { AVAILABLE: 'ok', IMPORTING: 'busy', DELETING: 'busy', FAILED: 'bad', DETACHED: 'cold' };
export const volumePill = (v) => pill(v.Status.toLowerCase(), STATES[v.Status] || '');

function sizeOf(text) {
  const size = parseBytes(text);
  if (Number.isNaN(size)) throw new Error(`'${text}' is no size; write it like 500 GiB.`);
  return size;
}

const nameField = (value) => field('Name', 'Name', { required: true, class: 'mono', value, pattern: '[a-z0-9][a-z0-9.\\-]*',
  hint: 'a-z, 0-9, dots and hyphens; it is part of the iSCSI target’s name.' });
const modeField = () => field('Mode', 'Mode', { kind: 'select', options: [['cached', 'cached: the working set here, everything in the store'], ['stored', 'stored: everything here, recovery points in the store']] });

export const createVolume = () => dialog({
  title: 'Create a volume', action: 'Create',
  body: [nameField(), h('div', { class: 'two' }, field('Size', 'Size', { required: true, value: '1 TiB', hint: 'Nothing is reserved; it can grow later.' }),
    field('BlockBytes', 'Block size', { kind: 'select', options: [['512', '512 bytes'], ['4096', '4096 bytes']] })), modeField()],
  submit: (v) => call('CreateVolume', { Name: v.Name, SizeInBytes: sizeOf(v.Size), Mode: v.Mode, BlockBytes: Number(v.BlockBytes) }),
});

export const importVolume = () => dialog({
  title: 'Import a file as a volume', action: 'Import',
  body: [h('p', null, 'The file is read by the gateway: give its path on the gateway’s own disks.'), nameField(),
    field('File', 'File on the gateway', { required: true, class: 'mono', placeholder: '/srv/images/db.qcow2' }), modeField()],
  submit: (v) => call('ImportVolume', { Name: v.Name, File: v.File, Mode: v.Mode }).then((a) => { toast(`Importing: job ${a.JobId}.`); return a; }),
});

const resize = (v) => dialog({
  title: `Grow ${v.Name}`, action: 'Grow',
  body: [facts(['Size now', bytes(v.SizeInBytes)]), field('Size', 'New size', { required: true, hint: 'A volume never shrinks. Initiators see it after a rescan.' })],
  submit: (f) => call('ResizeVolume', { Volume: v.Name, SizeInBytes: sizeOf(f.Size) }),
});

export const makePoint = (v) => dialog({
  title: `Recovery point of ${v.Name}`, action: 'Make it',
  body: [h('p', null, 'The volume as it is at this moment, crash-consistent. It costs nothing until blocks change.'),
    field('Name', 'Name', { placeholder: 'the time' }), field('Description', 'Description', {})],
  submit: (f) => call('CreateRecoveryPoint', { Volumes: [v.Name], ...(f.Name && { Name: f.Name }), ...(f.Description && { Description: f.Description }) })
    .then((a) => { if (a.Warning) toast(a.Warning, 'bad'); return a; }),
});

const remove = (v) => confirm({
  title: `Delete ${v.Name}`, action: 'Delete for ever', type: v.Name,
  text: 'The volume and its recovery points go, here and in the store.',
  more: [facts(['Written', bytes(v.MappedInBytes)], ['Recovery points', v.RecoveryPoints], ['Sessions', v.Sessions]),
    v.Sessions > 0 && [banner('warn', 'Initiators are logged in.'), field('Force', 'Log them out', { kind: 'check' })]],
  submit: (f) => call('DeleteVolume', { Volume: v.Name, ...(f.Force && { Force: true }) }),
});

export function volumeActions(v, after) {
  const then = (work) => async () => { if (await work()) after?.(); };
  return [
    ['Make a recovery point …', then(() => makePoint(v)), { needs: 'CreateRecoveryPoint', symbol: 'snapshot' }],
    ['Grow …', then(() => resize(v)), { needs: 'ResizeVolume', symbol: 'up' }],
    [v.Pinned ? 'Unpin' : 'Pin in the cache', then(() => attempt(() => call(v.Pinned ? 'UnpinVolume' : 'PinVolume', { Volume: v.Name }), v.Pinned ? 'Unpinned.' : 'Pinned.')),
      { needs: 'PinVolume', symbol: 'pin' }],
    knows('CompactVolume') && ['Give space back', then(() => attempt(() => call('CompactVolume', { Volume: v.Name }), 'Compacted.')), { needs: 'CompactVolume', symbol: 'refresh' }],
    knows('DetachVolume') && v.Status === 'AVAILABLE' && ['Detach …', then(() => confirm({ title: `Detach ${v.Name}`, action: 'Detach', danger: false,
      text: 'Everything goes to the store, then another gateway of the same store may attach it.', submit: () => call('DetachVolume', { Volume: v.Name }) })), { needs: 'DetachVolume', symbol: 'out' }],
    knows('AttachVolume') && v.Status === 'DETACHED' && ['Attach', then(() => attempt(() => call('AttachVolume', { Volume: v.Name }), 'Attached.')), { needs: 'AttachVolume', symbol: 'right' }],
    ['Delete …', then(() => remove(v)), { needs: 'DeleteVolume', danger: true, symbol: 'close' }],
  ].filter(Boolean);
}

const ref = (p) => `${p.Volume}@${p.Id}`;

export function pointActions(p, after) {
  const then = (work) => async () => { if (await work()) after?.(); };
  const title = p.Name || p.Created;
  return [
    ['Clone …', then(() => dialog({ title: `Clone ${p.Volume} at ${title}`, action: 'Clone',
      body: [h('p', null, 'A new writable volume that begins as the recovery point was. Nothing is copied.'), nameField()],
      submit: (f) => call('CloneVolume', { RecoveryPoint: ref(p), Name: f.Name }) }).then((d) => { if (d) toast(`${d.Name} is there.`); return d; })), { needs: 'CloneVolume', symbol: 'copy' }],
    knows('CopyRecoveryPoint') && ['Copy …', then(() => dialog({ title: `Copy ${p.Volume} at ${title}`, action: 'Copy',
      body: [h('p', null, 'A new volume with all that the recovery point holds. It shares nothing with it.'), nameField()],
      submit: (f) => call('CopyRecoveryPoint', { RecoveryPoint: ref(p), Name: f.Name }) }).then((d) => { if (d) toast(`Copying: job ${d.JobId}.`); return d; })), { needs: 'CopyRecoveryPoint', symbol: 'copy' }],
    ['Mount read-only …', then(() => dialog({ title: `Mount ${title}`, action: 'Mount',
      body: [h('p', null, 'The recovery point as a read-only disk of its own.'), nameField()],
      submit: (f) => call('MountRecoveryPoint', { RecoveryPoint: ref(p), Name: f.Name }) }).then((d) => { if (d) toast(`Mounted: ${d.Target}`); return d; })), { needs: 'MountRecoveryPoint', symbol: 'session' }],
    ['Roll the volume back …', then(() => confirm({ title: `Roll ${p.Volume} back to ${title}`, action: 'Roll back', type: p.Volume,
      text: 'What was written since is gone, unless another recovery point holds it.', more: field('Force', 'Log out initiators that are logged in', { kind: 'check' }),
      submit: (f) => call('RollBackVolume', { RecoveryPoint: ref(p), ...(f.Force && { Force: true }) }) })), { needs: 'RollBackVolume', symbol: 'refresh' }],
    knows('ExportRecoveryPoint') && ['Export to a file …', then(() => dialog({ title: `Export ${title}`, action: 'Export',
      body: [field('File', 'File on the gateway', { required: true, class: 'mono', placeholder: '/srv/export/db.raw' }),
        field('Format', 'Format', { kind: 'select', options: [['raw', 'raw, sparse'], ['qcow2', 'qcow2']] })],
      submit: (f) => call('ExportRecoveryPoint', { RecoveryPoint: ref(p), File: f.File, Format: f.Format }) }).then((d) => { if (d) toast(`Exporting: job ${d.JobId}.`); return d; })), { needs: 'ExportRecoveryPoint', symbol: 'down' }],
    knows('RestoreSnapshot') && ['Push to AWS as a snapshot …', then(() => restoreSnapshot(ref(p))), { needs: 'RestoreSnapshot', symbol: 'store' }],
    ['Delete …', then(() => confirm({ title: `Delete recovery point ${title}`, action: 'Delete', text: `Of ${p.Volume}. The volume itself stays as it is.`,
      submit: () => call('DeleteRecoveryPoint', { RecoveryPoint: ref(p) }) })), { needs: 'DeleteRecoveryPoint', danger: true, symbol: 'close' }],
  ].filter(Boolean);
}

export function schedule(volumes, s) {
  const kept = ['KeepLast', 'KeepHourly', 'KeepDaily', 'KeepWeekly', 'KeepMonthly', 'KeepYearly'];
  return dialog({
    title: s ? `Schedule ${s.Name}` : 'Schedule recovery points', action: 'Save', wide: true,
    body: [
      h('div', { class: 'two' }, field('Name', 'Name', { required: true, value: s?.Name, readonly: !!s }),
        field('Every', 'When', { kind: 'select', value: s?.Calendar ? 'calendar' : String(s?.RecurrenceInHours || 24),
          options: [...[1, 2, 4, 8, 12, 24].map((n) => [String(n), n === 1 ? 'every hour' : `every ${n} hours`]), ['calendar', 'by a calendar expression']] }),
        field('Calendar', 'Calendar expression', { class: 'mono', value: s?.Calendar, placeholder: 'Mon..Fri 20:00', hint: 'Such as hourly, *-*-* 02:30, Mon..Fri 08:00.' })),
      h('fieldset', null, h('legend', null, 'Volumes, together at one moment'), volumes.map((v) =>
        field(`v:${v.Name}`, v.Name, { kind: 'check', checked: s ? s.Volumes.includes(v.Name) : volumes.length === 1 }))),
      h('fieldset', null, h('legend', null, 'Keep'), kept.map((k) => field(k, k.slice(4), { kind: 'number', min: 0, max: 10000, value: s ? s[k] || '' : k === 'KeepLast' ? 7 : '' }))),
    ],
    update: (f, form) => { form.elements.Calendar.closest('.field').hidden = f.Every !== 'calendar'; },
    submit: (f) => call('PutVolumeSchedule', {
      Name: f.Name, Volumes: Object.keys(f).filter((k) => k.startsWith('v:') && f[k]).map((k) => k.slice(2)),
      ...(f.Every === 'calendar' ? { Calendar: f.Calendar || '' } : { RecurrenceInHours: Number(f.Every) }),
      ...(s?.Quiesce && { Quiesce: s.Quiesce }), ...(s?.Description && { Description: s.Description }),
      ...Object.fromEntries(kept.filter((k) => f[k]).map((k) => [k, f[k]])),
    }),
  });
}
