// What one does with tapes, wherever they are shown: each action asks what it must know, shows what
// it costs before it begins, and says how it went.
import { h, render } from './dom.js';
import { call, knows } from './api.js';
import { daysField, moveDialog, poolOptions, retrieveDialog } from './shelf-forms.js';
import { attempt, banner, confirm, dialog, facts, field, meter } from './ui.js';
import { bytes, parseBytes, plural } from './format.js';

const LIBRARY = ['AVAILABLE', 'RETRIEVED', 'RECOVERED'];
const AWAY = ['ARCHIVED'];
// The store or the disk may be mended: what was lost is looked at anew. Which of both it is, the
// gateway knows.
const LOST = ['IRRECOVERABLE'];
const CANCELS = ['IN TRANSIT TO VTS', 'ARCHIVING', 'RETRIEVING'];

export const inLibrary = (t) => LIBRARY.includes(t.Status);
export const archived = (t) => AWAY.includes(t.Status);

export async function createTapes() {
  const pools = await poolOptions().catch(() => []);
  return dialog({
    title: 'Create tapes', action: 'Create',
    body: [
      field('Barcode', 'First barcode', { required: true, class: 'mono upper', pattern: '[A-Za-z0-9]{5,16}',
        hint: '5 to 16 of A-Z and 0-9, such as BKP001L8. Its number is counted up; L5 to L9 at the end is the medium.' }),
      h('div', { class: 'two' },
        field('Count', 'How many', { kind: 'number', min: 1, max: 1000, value: 1, required: true }),
        field('Size', 'Size of each', { value: '2.5 TiB', required: true, hint: '16 MiB to 64 TiB. Nothing is reserved.' })),
      field('Pool', 'Pool', { kind: 'select', hint: 'Where it goes when it is archived.',
        options: [['', 'The gateway’s default'], ...pools.map((p) => [p.Name, `${p.Name} (${p.StorageClass}${p.Lock !== 'NONE' ? `, ${p.Lock.toLowerCase()} lock` : ''})`])] }),
      field('Worm', 'Write once (WORM)', { kind: 'check', hint: 'Nothing on it can be overwritten or erased.' }),
    ],
    submit: async (v) => {
      const size = parseBytes(v.Size);
      if (Number.isNaN(size)) throw new Error(`'${v.Size}' is no size; write it like 800 GB or 2.5 TiB.`);
      return call('CreateTapes', { Barcode: v.Barcode.toUpperCase(), SizeInBytes: size, Count: v.Count,
        ...(v.Pool && { Pool: v.Pool }), ...(v.Worm && { Worm: true }) });
    },
  });
}

async function archive(tape) {
  const pools = await poolOptions().catch(() => []);
  const pool = pools.find((p) => p.Name === tape.Pool);
  return dialog({
    title: `Archive ${tape.Barcode}`, action: 'Archive',
    body: [
      h('p', null, 'What is not in the store yet goes up, every object is brought into the pool’s class and checked. ' +
        'Then the tape leaves the library; its local copy may be evicted.'),
      facts(['Pool', `${tape.Pool}${pool ? ` (${pool.StorageClass})` : ''}`],
        ['Data on it', bytes(tape.UsedInBytes)], ['In the store', bytes(tape.StoredInBytes)]),
      pool && pool.Lock !== 'NONE' && banner('warn',
        `This pool has a ${pool.Lock.toLowerCase()} lock: the tape cannot be deleted for ${plural(pool.LockDays, 'day')} after it is archived.`),
    ],
    submit: () => call('ArchiveTape', { Barcode: tape.Barcode }),
  });
}

// Which part of a tape: all, files, or records.
function partsOf(v) {
  if (v.what === 'files') return { Files: v.Files || '', ...(v.Partition && { Partition: v.Partition }) };
  if (v.what === 'records') return { Records: v.Records || '', ...(v.Partition && { Partition: v.Partition }) };
  return {};
}

function retrieve(tape, partly) {
  const files = field('Files', 'Files', { class: 'mono', placeholder: '3-5,9',
    hint: 'Counted from 0, as mt does: file 3 lies behind the third filemark.' });
  const records = field('Records', 'Records', { class: 'mono', placeholder: '120000-180000',
    hint: 'Block numbers, as READ POSITION and mt tell give them.' });
  const partition = field('Partition', 'Partition', { kind: 'number', min: 0, max: 3, placeholder: '0' });
  return retrieveDialog({
    title: `Retrieve ${tape.Barcode}`, estimate: 'EstimateRetrieval', retrieve: 'RetrieveTape',
    body: [
      h('p', null, 'A temporary copy is restored and the tape comes back into a slot, write-protected.'),
      h('div', { class: 'two' },
        field('what', 'What', { kind: 'select', value: partly ? 'files' : 'all',
          options: [['all', 'The whole tape'], ['files', 'Some files'], ['records', 'Some records']] }), daysField()),
      h('div', { class: 'two' }, files, records, partition),
    ],
    shape: (v) => {
      files.hidden = v.what !== 'files';
      records.hidden = v.what !== 'records';
      partition.hidden = v.what === 'all';
    },
    input: (v) => ((v.what === 'files' && !v.Files) || (v.what === 'records' && !v.Records) ? null
      : { Barcode: tape.Barcode, ...partsOf(v), ...(v.Days && { Days: v.Days }) }),
  });
}

const reassign = (tape) => moveDialog({ name: tape.Barcode, pool: tape.Pool, what: { Barcode: tape.Barcode },
  estimate: 'EstimateAssign', assign: 'AssignTapePool' });

const remove = (tape) => confirm({
  title: `Delete ${tape.Barcode}`, action: 'Delete for ever', type: tape.Barcode,
  text: 'Its data goes, here and in the store. The barcode is never used again.',
  more: facts(['Data on it', bytes(tape.UsedInBytes)], ['Status', tape.Status.toLowerCase()]),
  submit: () => call('DeleteTape', { Barcode: tape.Barcode }),
});

const simple = (op, tape, text) => attempt(() => call(op, { Barcode: tape.Barcode }), text);

// The menu of one tape. `after` is called when something was begun or done.
export function tapeActions(tape, after) {
  const then = (work) => async () => { if (await work()) after?.(); };
  const here = inLibrary(tape);
  const lost = LOST.includes(tape.Status);
  return [
    (here || lost) && [lost ? 'Archive again …' : 'Archive …', then(() => archive(tape)), { needs: 'ArchiveTape', symbol: 'down' }],
    (archived(tape) || lost || tape.Status === 'RETRIEVED') &&
      [lost ? 'Retrieve again …' : 'Retrieve …', then(() => retrieve(tape)), { needs: 'RetrieveTape', symbol: 'up' }],
    (archived(tape) || tape.Status === 'RETRIEVED') &&
      ['Retrieve a part …', then(() => retrieve(tape, true)), { needs: 'RetrieveTape', symbol: 'up' }],
    (CANCELS.includes(tape.Status) || tape.Job) && ['Cancel what is under way', then(() =>
      simple('CancelTapeJob', tape, `Cancelled for ${tape.Barcode}.`)), { needs: 'CancelTapeJob', symbol: 'close' }],
    here && (tape.Pinned
      ? ['Unpin', then(() => simple('UnpinTape', tape, `${tape.Barcode} may leave the cache.`)), { needs: 'UnpinTape', symbol: 'pin' }]
      : ['Pin in the cache', then(() => simple('PinTape', tape, `${tape.Barcode} stays in the cache.`)), { needs: 'PinTape', symbol: 'pin' }]),
    here && ['Verify', then(() => simple('VerifyTape', tape, `Verifying ${tape.Barcode}: every byte against its checksums.`)), { needs: 'VerifyTape', symbol: 'check' }],
    knows('HoldTape') && [tape.LegalHold ? 'Release the legal hold' : 'Legal hold', then(() =>
      attempt(() => call('HoldTape', { Barcode: tape.Barcode, On: !tape.LegalHold }), tape.LegalHold ? 'Releasing the hold.' : 'Held: it cannot be deleted.')), { needs: 'HoldTape', symbol: 'lock' }],
    ['Move to another pool …', then(() => reassign(tape)), { needs: 'AssignTapePool', symbol: 'pool' }],
    ['Delete …', then(() => remove(tape)), { needs: 'DeleteTape', danger: true, symbol: 'close' }],
  ].filter(Boolean);
}

// The same for many: one after the other, stopping at nothing, told as one.
export async function forEach(tapes, op, done) {
  const wrong = [];
  const bar = h('div', { class: 'content' });
  const box = h('dialog', { 'aria-label': done }, h('form', null, h('header', null, h('h2', null, done)), bar));
  box.oncancel = (e) => e.preventDefault();
  document.body.append(box);
  box.showModal();
  let n = 0;
  for (const t of tapes) {
    try {
      await call(op, { Barcode: t.Barcode });
    } catch (problem) {
      wrong.push(`${t.Barcode}: ${problem.message}`);
    }
    n += 1;
    render(bar, meter(n, tapes.length, done, 'run'), h('p', null, `${n} of ${plural(tapes.length, 'tape')}`));
  }
  box.close();
  box.remove();
  if (wrong.length) {
    await dialog({ title: `${done}: ${plural(wrong.length, 'tape')} refused`,
      body: h('ul', { class: 'problems' }, wrong.slice(0, 50).map((w) => h('li', null, w))) });
  }
  return tapes.length - wrong.length;
}

export { archive, retrieve };
