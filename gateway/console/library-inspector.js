// The panel beside the library: what was chosen, and what can be done with it.
import { h, icon } from './dom.js';
import { may } from './api.js';
import { doing } from './library-drive.js';
import { live } from './live.js';
import { tapeActions } from './tape-actions.js';
import { button, facts, jobProgress, menu, meter, tapePill } from './ui.js';
import { bytes, percent, rate } from './format.js';

function hints(page) {
  const hint = (keys, text) => h('li', null, h('span', null, keys.map((k) => h('kbd', null, k))), text);
  return [
    h('h2', null, 'Nothing chosen'),
    h('p', { class: 'muted' }, may('MoveMedium')
      ? 'Choose a tape to see it; then choose an empty place, and it is moved there. Or drag it.'
      : 'Choose a tape or a drive to see what it is and does.'),
    h('ul', { class: 'hints' }, hint(['↑', '↓', '←', '→'], 'walk'), hint(['Enter'], 'choose, put down'),
      hint(['Esc'], 'let go')),
    h('h3', null, 'Legend'),
    h('ul', { class: 'key-list' },
      [['ok', 'available'], ['info', 'retrieved, read-only'], ['busy', 'a job is under way'], ['bad', 'has a problem']]
        .map(([tone, text]) => h('li', null, h('i', { class: `swatch ${tone}` }), text)),
      [['pin', 'pinned in the cache'], ['lock', 'write-protected'], ['worm', 'write once']]
        .map(([symbol, text]) => h('li', null, icon(symbol), text))),
    h('p', { class: 'muted small' }, `${page.status.Changer}, serial ${page.status.Serial}`),
  ];
}

function places(page, from) {
  const free = (e) => page.canTake(from, e.Address);
  const { Drives, Slots, ImportExportSlots } = page.status;
  const go = (e) => () => page.move(from, e.Address);
  const slot = Slots.find(free);
  const gate = ImportExportSlots.find(free);
  const here = page.elements.get(from).Type;
  return [
    ...Drives.filter(free).slice(0, 12).map((d) => [`Drive ${d.Number}`, go(d), { symbol: 'right' }]),
    here !== 'slot' && slot && [`First empty slot (${slot.Number})`, go(slot), { symbol: 'library' }],
    here !== 'import_export' && gate && [`Import/export ${gate.Number}: to be archived`, go(gate), { symbol: 'out' }],
  ].filter(Boolean);
}

function driveFacts(d) {
  const [written, read] = live.rate(d.Number);
  return facts(['Now', doing(d)[0]], ['Model', d.Model], ['Serial', h('span', { class: 'mono' }, d.Serial)],
    ['Written / read', `${bytes(d.WrittenBytes)} / ${bytes(d.ReadBytes)}`],
    written + read > 0 && ['Rate', rate(written + read)],
    ['Removal', d.Prevented ? 'prevented by the host' : 'allowed'],
    ['iSCSI target', h('span', { class: 'mono wrap' }, d.Target)]);
}

export function inspect(element, tape, page) {
  // A slot that has just been emptied, or is about to be filled, is nothing to look at.
  if (!element || (!element.Barcode && element.Type !== 'drive')) return hints(page);
  const close = h('button', { type: 'button', class: 'ghost', 'aria-label': 'Let go', onclick: () => page.choose(null) }, icon('close'));
  const drive = element.Type === 'drive'
    ? { ...element, ...live.drives.find((d) => d.Number === element.Number) } : null;
  if (!element.Barcode) {
    return [h('header', null, h('h2', null, `Drive ${element.Number}`), close), driveFacts(drive),
      drive.Problem && h('p', { class: 'problem' }, drive.Problem)];
  }
  const moves = places(page, element.Address);
  return [
    h('header', null, h('h2', { class: 'mono' }, element.Barcode), close),
    h('p', { class: 'muted' }, `In ${element.Element}${element.Source ? `, from ${element.Source}` : ''}`),
    tape && [h('div', { class: 'row' }, tapePill(tape.Status), tape.Pinned && h('span', { class: 'pill' }, icon('pin'), 'pinned'),
      tape.Worm && h('span', { class: 'pill' }, 'WORM')),
    tape.Job && jobProgress(tape.Job),
    tape.Problem && h('p', { class: 'problem' }, tape.Problem),
    meter(tape.UsedInBytes, tape.SizeInBytes, 'How full the tape is'),
    facts(['Used', `${bytes(tape.UsedInBytes)} of ${bytes(tape.SizeInBytes)} (${percent(tape.UsedInBytes, tape.SizeInBytes)})`],
      ['In the store', bytes(tape.StoredInBytes)], ['Medium', tape.Medium], ['Pool', tape.Pool])],
    drive && driveFacts(drive),
    h('div', { class: 'row', 'data-key': `acts-${element.Address}` },
      drive && button('Unload', { needs: 'UnloadDrive', symbol: 'eject', onclick: () => page.unload(drive.Number) }),
      menu('Move to', () => places(page, element.Address), { kind: drive ? '' : 'primary', symbol: 'right',
        disabled: !moves.length || !may('MoveMedium'), key: `move-${element.Address}` }),
      tape && menu('More', () => tapeActions(page.tapes.get(element.Barcode) || tape, () => page.refresh()), { symbol: 'more', key: `more-${element.Address}` })),
    h('a', { href: `#/tapes/${encodeURIComponent(element.Barcode)}` }, 'All about this tape'),
  ];
}
