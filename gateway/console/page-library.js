// The library, drawn as one: drives, the import/export station, magazines of slots. A tape is moved
// by dragging it, by choosing it and then its place, or with the keyboard alone.
import { h, render } from './dom.js';
import { call, may, poll } from './api.js';
import { live } from './live.js';
import { LibraryMap } from './library-map.js';
import { inspect } from './library-inspector.js';
import { createTapes } from './tape-actions.js';
import { drawDrive } from './library-drive.js';
import { announce, attempt, button, empty, failure, loading, tapeState, toast } from './ui.js';
import { plural } from './format.js';

class LibraryPage {
  constructor(view) {
    this.view = view;
    this.tapes = new Map();
    this.elements = new Map();
    this.held = null;  // address of the chosen tape or drive
    this.busy = new Set();  // addresses in a move
    this.find = '';
    this.map = new LibraryMap({
      choose: (address) => this.choose(address),
      drop: (from, to) => this.move(from, to),
      canHold: (address) => !!this.elements.get(address)?.Barcode && may('MoveMedium'),
      canTake: (from, to) => this.canTake(from, to),
    });
    this.bar = h('div', { class: 'toolbar' });
    this.drives = h('div', { class: 'drives', role: 'group', 'aria-label': 'Drives' });
    this.station = h('div', { class: 'magazines station', role: 'group', 'aria-label': 'Import/export slots' });
    this.slots = h('div', { class: 'magazines', role: 'group', 'aria-label': 'Slots' });
    this.side = h('aside', { class: 'inspector', 'aria-label': 'Chosen' });
    this.note = h('div');
    this.frame = h('div', { class: 'library-frame' });
    this.floor = h('div', { class: 'floor', 'data-own': true },
      h('section', null, h('h2', null, 'Drives'), this.drives),
      h('div', { class: 'racks' },
        h('section', { class: 'station-rack' }, h('h2', null, 'Import / export'), this.station),
        h('section', null, h('h2', null, 'Slots'), this.slots)));
    this.map.attach(this.floor);
    render(view, loading('the library'));
    this.drawBar();
    this.polls = [
      poll((s) => this.ask(s), 3000, () => this.draw(), (p) => this.fail(p)),
      poll((s) => this.askTapes(s), 12000, () => this.draw()),
    ];
    this.off = live.on(() => this.ready && this.drawDrives());
    this.keys = (e) => e.key === 'Escape' && this.held !== null && !e.target.closest('dialog, input') && this.choose(null);
    document.addEventListener('keydown', this.keys);
  }

  destroy() {
    this.polls.forEach((p) => p.stop());
    this.off();
    this.map.destroy();
    document.removeEventListener('keydown', this.keys);
  }

  async ask(signal) {
    this.status = await call('LibraryStatus', {}, signal);
    this.elements.clear();
    for (const list of [this.status.Drives, this.status.ImportExportSlots, this.status.Slots]) {
      for (const e of list) this.elements.set(e.Address, e);
    }
  }

  async askTapes(signal) {
    const { Tapes } = await call('ListTapes', { Limit: 10000 }, signal);
    this.tapes = new Map(Tapes.map((t) => [t.Barcode, t]));
  }

  refresh() {
    return Promise.all(this.polls.map((p) => p.refresh()));
  }

  fail(problem) {
    if (!this.ready) render(this.view, failure(problem));
  }

  canTake(from, to) {
    const source = this.elements.get(from);
    const target = this.elements.get(to);
    return !!source?.Barcode && !!target && !target.Barcode && from !== to && !this.busy.has(to);
  }

  choose(address) {
    if (this.held !== null && address !== null && address !== this.held &&
        may('MoveMedium') && this.canTake(this.held, address)) {
      this.move(this.held, address);
      return;
    }
    const element = address === null ? null : this.elements.get(address);
    const pick = element && (element.Barcode || element.Type === 'drive');
    this.held = !pick || this.held === address ? null : address;
    if (this.held !== null && element.Barcode) {
      announce(`${element.Barcode} chosen in ${element.Element}. Go to an empty place and press Enter to move it there, Escape to let it be.`);
    } else if (this.held === null && address === null) {
      announce('Nothing chosen.');
    } else if (!pick && element) {
      announce(`${element.Element} is empty.`);
    }
    this.draw();
  }

  // Moves what is in `from` and tells how it went; the drawing shows the truth afterwards.
  async move(from, to, quiet) {
    const source = this.elements.get(from);
    const target = this.elements.get(to);
    if (!this.canTake(from, to)) return;
    const { Barcode } = source;
    this.busy.add(from).add(to);
    this.held = null;
    this.draw();
    announce(`Moving ${Barcode} to ${target.Element}.`);
    const done = await attempt(() => call('MoveMedium', { Source: `@${from}`, Destination: `@${to}` }));
    this.busy.delete(from);
    this.busy.delete(to);
    if (done) {
      announce(`${Barcode} is in ${target.Element}.`);
      if (!quiet) {
        toast(`${Barcode} is in ${target.Element}.`, 'ok', ['Undo', () => this.move(to, from, true)]);
      }
      this.held = to;
    }
    await this.refresh();
    if (done) this.map.focus(to);
  }

  drawBar() {
    const search = h('input', {
      type: 'search', placeholder: 'Find barcode', 'aria-label': 'Find a barcode in the library',
      class: 'mono', oninput: (e) => { this.find = e.target.value.trim().toUpperCase(); this.draw(); },
      onkeydown: (e) => {
        if (e.key !== 'Enter') return;
        const hit = [...this.elements.values()].find((x) => this.find && x.Barcode?.includes(this.find));
        if (hit) { this.held = hit.Address; this.draw(); this.map.focus(hit.Address); }
      },
    });
    this.sum = h('span', { class: 'muted' });
    render(this.bar, search, this.sum, h('span', { class: 'grow' }),
      button('Archive exported tapes', { needs: 'ExportTapes', symbol: 'down',
        title: 'Archives what lies in import/export slots',
        onclick: () => attempt(() => call('ExportTapes'), (a) => `Archiving ${plural(a.Jobs.length, 'tape')}.`)
          .then(() => this.refresh()) }),
      button('Create tapes', { needs: 'CreateTapes', symbol: 'plus', kind: 'primary',
        onclick: () => createTapes().then((made) => made && this.refresh()) }));
  }

  draw() {
    if (!this.status) return;
    if (!this.ready) {
      this.ready = true;
      this.view.replaceChildren(this.bar, this.note, this.frame);
      this.frame.replaceChildren(this.floor, this.side);
    }
    const { Slots, ImportExportSlots } = this.status;
    const full = Slots.filter((s) => s.Barcode).length;
    this.sum.textContent = `${full} of ${plural(Slots.length, 'slot')} in use`;
    const nothing = !this.tapes.size && !full && !ImportExportSlots.some((s) => s.Barcode) &&
      !this.status.Drives.some((d) => d.Barcode);
    render(this.note, nothing && empty('tape', 'The library is empty',
      'Create tapes here, then let your backup software inventory the library.',
      button('Create tapes', { needs: 'CreateTapes', kind: 'primary', symbol: 'plus',
        onclick: () => createTapes().then((made) => made && this.refresh()) })));
    if (this.held !== null) {
      const e = this.elements.get(this.held);
      if (!e || (!e.Barcode && e.Type !== 'drive')) this.held = null;
    }
    this.drawDrives();
    const face = (e) => this.face(e);
    this.map.drawSlots(this.station, ImportExportSlots, face);
    this.map.drawSlots(this.slots, Slots, face);
    this.map.settle();
  }

  // What a slot shows; a plain object, so that only what changed is drawn again.
  face(e) {
    const tape = e.Barcode && this.tapes.get(e.Barcode);
    const [text, tone] = tape ? tapeState(tape.Status) : ['', ''];
    const marks = tape ? [tape.Problem && 'warn', tape.Pinned && 'pin', tape.Worm && 'worm',
      !tape.Worm && tape.WriteProtected && 'lock'].filter(Boolean) : [];
    return {
      barcode: e.Barcode || '',
      tone: tape?.Problem ? 'bad' : tone,
      fill: tape && tape.SizeInBytes ? Math.min(1, tape.UsedInBytes / tape.SizeInBytes) : 0,
      marks: marks.join(' '),
      chosen: this.held === e.Address,
      target: this.held !== null && may('MoveMedium') && this.canTake(this.held, e.Address),
      busy: this.busy.has(e.Address),
      faded: !!this.find && !(e.Barcode || '').includes(this.find),
      label: e.Barcode
        ? `${e.Element}: ${e.Barcode}${text ? `, ${text}` : ''}${tape?.Problem ? ', has a problem' : ''}`
        : `${e.Element}: empty`,
    };
  }

  drawDrives() {
    const now = new Map(live.drives.map((d) => [d.Number, d]));
    render(this.drives, this.status.Drives.map((d) => {
      const fresh = now.get(d.Number);
      const shown = fresh ? { ...d, ...fresh } : d;
      return drawDrive(shown, this.tapes.get(shown.Barcode), this.face(shown), {
        focusable: this.map.isActive(d.Address),
      });
    }));
    this.drawSide();
  }

  async unload(number) {
    await attempt(() => call('UnloadDrive', { Drive: number }), (a) => `Unloaded into ${a.Element}.`);
    this.refresh();
  }

  drawSide() {
    const element = this.held === null ? null : this.elements.get(this.held);
    this.side.classList.toggle('shown', !!element);
    this.frame.classList.toggle('holding', !!element?.Barcode && may('MoveMedium'));
    render(this.side, inspect(element, element?.Barcode && this.tapes.get(element.Barcode), this));
  }
}

export default { mount: (view) => new LibraryPage(view) };
