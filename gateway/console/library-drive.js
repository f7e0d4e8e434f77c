// One drive's front: what is in it and what it does now.
import { h, icon } from './dom.js';
import { live } from './live.js';

import { spark } from './chart.js';
import { meter } from './ui.js';
import { bytes, count, percent, rate } from './format.js';

const DOES = {
  empty: 'Empty', idle: 'Ready', loading: 'Loading', unloading: 'Unloading', writing: 'Writing',
  reading: 'Reading', positioning: 'Positioning', erasing: 'Erasing', not_ready: 'Not ready',
};

// [text, tone]: by the bytes that moved since the last look, else what the drive says of itself.
export function doing(drive) {
  const [written, read] = live.rate(drive.Number);
  if (drive.Problem) return ['Needs attention', 'bad'];
  if (!drive.Barcode) return ['Empty', ''];
  if (written > 0) return [`Writing ${rate(written)}`, 'run'];
  if (read > 0) return [`Reading ${rate(read)}`, 'run'];
  const does = drive.Activity || (drive.Loaded ? 'idle' : 'not_ready');
  return [DOES[does] || does, does === 'idle' ? 'ok' : does === 'not_ready' ? 'warn' : 'run'];
}

export function drawDrive(d, tape, face, { focusable }) {
  const [text, tone] = doing(d);
  const lines = live.rates.get(d.Number) || [];
  const where = d.Position && d.Loaded
    ? `File ${count(d.Position.File)}, block ${count(d.Position.Block)}${d.Position.Partition ? `, partition ${d.Position.Partition}` : ''}` : '';
  return h('div', {
    'data-key': d.Address, 'data-address': d.Address, 'data-barcode': d.Barcode || '',
    class: ['drive', d.Barcode ? 'full' : 'vacant', tone, face.chosen && 'chosen', face.target && 'target',
      face.busy && 'busy', face.faded && 'faded'].filter(Boolean).join(' '),
    role: 'button', tabindex: focusable ? 0 : -1, 'aria-pressed': String(face.chosen),
    'aria-label': `Drive ${d.Number}: ${d.Barcode || 'no tape'}. ${text}`,
  },
  h('div', { class: 'bezel' }, h('b', null, `Drive ${d.Number}`), h('i', { class: `led ${tone}` }),
    h('span', { class: 'does' }, text)),
  h('div', { class: 'mouth' },
    d.Barcode ? [h('div', { class: 'cartridge' }, icon('tape'), h('span', { class: 'code' }, d.Barcode),
      d.WriteProtected && icon('lock'), d.Prevented && h('small', { title: 'The host prevents its removal' }, 'held'))]
      : h('div', { class: 'cartridge none' }, face.target ? 'Load here' : 'No tape')),
  h('div', { class: 'gauge' },
    tape ? [meter(tape.UsedInBytes, tape.SizeInBytes, `Drive ${d.Number}: how full the tape is`),
      h('small', null, `${bytes(tape.UsedInBytes)} · ${percent(tape.UsedInBytes, tape.SizeInBytes)}`)]
      : h('small', null, d.Model)),
  h('div', { class: 'foot' }, h('small', null, where || (tape ? d.Model : '')),
    lines.some(([w, r]) => w + r > 0) && spark(lines.map(([w, r]) => w + r))),
  d.Problem && h('p', { class: 'problem' }, d.Problem));
}

