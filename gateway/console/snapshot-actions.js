// Pulling EBS snapshots, and making EBS snapshots of what is here.
import { h } from './dom.js';
import { call } from './api.js';
import { daysField, moveDialog, retrieveDialog } from './shelf-forms.js';
import { confirm, dialog, facts, field, toast } from './ui.js';

export const pullSnapshot = (id, place = {}) => dialog({
  title: 'Pull a snapshot', action: 'Pull',
  body: [
    field('SnapshotId', 'Snapshot', { required: true, class: 'mono', value: id, placeholder: 'snap-0123456789abcdef0' }),
    h('div', { class: 'two' }, field('Region', 'Region', { class: 'mono', value: place.Region, placeholder: 'the configured one' }),
      field('Account', 'Account', { value: place.Account, placeholder: 'the gateway’s own' })),
    field('Archive', 'Into the archive', { placeholder: 'the one of its volume', hint: 'A new one is made when there is none.' }),
    field('Base', 'Fetch', { kind: 'select', options: [['auto', 'only what changed since the newest snapshot held here'], ['none', 'every block']] }),
  ],
  submit: async (v) => {
    const begun = await call('PullSnapshot', { SnapshotId: v.SnapshotId.trim(), Base: v.Base, ...(v.Archive && { Archive: v.Archive }),
      ...(v.Region && { Region: v.Region }), ...(v.Account && { Account: v.Account }) });
    toast(`Pulling ${v.SnapshotId}: job ${begun.JobId}.`);
    return begun;
  },
});

export const restoreSnapshot = (point) => dialog({
  title: 'Make an EBS snapshot', action: 'Make it', wide: true,
  body: [
    h('p', null, 'A snapshot in EC2 of ', h('code', null, point), ': exactly the blocks that existed.'),
    h('div', { class: 'two' }, field('Region', 'Region', { class: 'mono', placeholder: 'the configured one' }), field('Account', 'Account', { placeholder: 'the gateway’s own' })),
    h('div', { class: 'two' }, field('Description', 'Description', {}),
      field('Parent', 'Upload', { kind: 'select', options: [['', 'every block'], ['auto', 'only what changed, where AWS allows it']] })),
    h('div', { class: 'two' }, field('Encrypted', 'Encrypted', { kind: 'check' }), field('KmsKeyId', 'KMS key', { class: 'mono', placeholder: 'the account’s default' })),
    h('div', { class: 'two' }, field('Zone', 'Then a volume in the zone', { class: 'mono', placeholder: 'no volume' }),
      field('Image', 'Or a machine image named', { placeholder: 'no image', hint: 'For a boot volume.' })),
  ],
  submit: async (v) => {
    const begun = await call('RestoreSnapshot', {
      Point: point, ...(v.Region && { Region: v.Region }), ...(v.Account && { Account: v.Account }), ...(v.Description && { Description: v.Description }),
      ...(v.Parent && { Parent: v.Parent }), ...(v.Encrypted && { Encrypted: true }), ...(v.KmsKeyId && { KmsKeyId: v.KmsKeyId }),
      ...(v.Zone && { CreateVolume: { AvailabilityZone: v.Zone } }), ...(v.Image && { RegisterImage: { Name: v.Image } }) });
    toast(`Restoring ${point}: job ${begun.JobId}.`);
    return begun;
  },
});

export const deleteSnapshot = (archive, p) => confirm({
  title: `Delete ${p.SnapshotId || p.Name} here`, action: 'Delete',
  text: 'Blocks that only this snapshot holds are freed. What is in EC2 stays.',
  submit: () => call('DeleteArchivedSnapshot', { Point: `${archive}@${p.Id}` }),
});

export const archiveSnapshots = (archive) => confirm({
  title: `Send ${archive} to the shelf`, action: 'Archive',
  text: 'All of it goes to its pool in the store. It takes no pull, and nothing is restored from it, until it is retrieved.',
  submit: () => call('ArchiveSnapshots', { Archive: archive }),
});

export const retrieveSnapshots = (archive) => retrieveDialog({
  title: `Retrieve ${archive}`, estimate: 'EstimateSnapshotRetrieval', retrieve: 'RetrieveSnapshots',
  body: [h('p', null, 'A temporary copy is restored; meanwhile it takes pulls and gives back what it holds.'), daysField()],
  input: (v) => ({ Archive: archive, ...(v.Days && { Days: v.Days }) }),
}).then((begun) => {
  if (begun) toast(`Retrieving ${archive}: job ${begun.JobId}.`);
  return begun;
});

export const reassignSnapshots = (a) => moveDialog({ name: a.Name, pool: a.Pool || 'STANDARD', what: { Archive: a.Name },
  estimate: 'EstimateSnapshotAssign', assign: 'AssignSnapshotPool' });

export const deleteArchive = (a) => confirm({
  title: `Delete ${a.Name}`, action: 'Delete for ever', type: a.Name,
  text: 'The archive and all its snapshots go, here and in the store. What is in EC2 stays.',
  more: [facts(['Snapshots', a.Snapshots], ['Status', a.Status.toLowerCase()]),
    a.Status === 'FAILED' && field('Force', 'Although it cannot be opened', { kind: 'check' })],
  submit: (v) => call('DeleteArchivedSnapshot', { Point: a.Name, ...(v.Force && { Force: true }) }),
});
