// The floor of the library: cells at addresses, how the pointer drags a tape from one to another,
// and how the keyboard walks among them.
import { h, icon, render } from './dom.js';

const MAGAZINE = 10;  // slots in one
const DRAG_PX = 6;
const EDGE_PX = 48;

export class LibraryMap {
  constructor(acts) {
    this.acts = acts;
    this.cells = new Map();  // address -> { node, drawn }
    this.active = null;
    this.drag = null;
  }

  attach(floor) {
    this.floor = floor;
    floor.onclick = (e) => this.click(e);
    floor.onkeydown = (e) => this.keydown(e);
    floor.onfocus = null;
    floor.addEventListener('focusin', (e) => {
      const address = this.addressOf(e.target);
      if (address !== null) this.activate(address);
    });
    floor.onpointerdown = (e) => this.press(e);
    this.onmove = (e) => this.dragged(e);
    this.onup = (e) => this.release(e);
    window.addEventListener('pointermove', this.onmove);
    window.addEventListener('pointerup', this.onup);
    window.addEventListener('pointercancel', this.onup);
  }

  destroy() {
    this.endDrag();
    window.removeEventListener('pointermove', this.onmove);
    window.removeEventListener('pointerup', this.onup);
    window.removeEventListener('pointercancel', this.onup);
  }

  addressOf(node) {
    const cell = node?.closest?.('[data-address]');
    return cell ? Number(cell.dataset.address) : null;
  }

  node(address) {
    return this.floor.querySelector(`[data-address="${address}"]`);
  }

  isActive(address) {
    return this.active === address;
  }

  activate(address) {
    if (this.active === address) return;
    const before = this.active === null ? null : this.node(this.active);
    if (before) before.tabIndex = -1;
    this.active = address;
    const now = this.node(address);
    if (now) now.tabIndex = 0;
  }

  focus(address) {
    this.activate(address);
    const node = this.node(address);
    node?.focus({ preventScroll: true });
    node?.scrollIntoView({ block: 'nearest' });
  }

  // One cell always takes the Tab key.
  settle() {
    if (this.active !== null && this.node(this.active)) return;
    const first = this.floor.querySelector('[data-address]');
    this.active = null;
    if (first) this.activate(Number(first.dataset.address));
  }

  // Magazines are made once for a number of slots; a slot is drawn when what it shows has changed.
  drawSlots(box, elements, face) {
    if (box.$count !== elements.length) {
      box.$count = elements.length;
      const out = [];
      for (let i = 0; i < elements.length; i += MAGAZINE) {
        const part = elements.slice(i, i + MAGAZINE);
        out.push(h('div', { class: 'magazine' },
          h('h3', null, part.length > 1 ? `${part[0].Number}–${part.at(-1).Number}` : `${part[0].Number}`),
          part.map((e) => {
            const node = h('button', { type: 'button', class: 'slot', 'data-address': e.Address,
              tabindex: this.isActive(e.Address) ? 0 : -1 });
            this.cells.set(e.Address, { node, drawn: '' });
            return node;
          })));
      }
      box.replaceChildren(...out);
    }
    for (const e of elements) {
      const cell = this.cells.get(e.Address);
      const f = face(e);
      const mark = JSON.stringify(f);
      if (cell.drawn === mark) continue;
      cell.drawn = mark;
      const { node } = cell;
      node.className = ['slot', f.barcode ? 'full' : 'vacant', f.tone, f.chosen && 'chosen',
        f.target && 'target', f.busy && 'busy', f.faded && 'faded'].filter(Boolean).join(' ');
      node.setAttribute('aria-label', f.label);
      node.setAttribute('aria-pressed', String(f.chosen));
      render(node, h('small', null, e.Number), f.barcode ? [h('span', { class: 'code' }, f.barcode),
        f.marks && f.marks.split(' ').map((m) => icon(m)),
        h('i', { class: 'fill', style: { width: `${Math.round(f.fill * 100)}%` } })]
        : h('span', { class: 'code' }, f.target ? 'move here' : ''));
    }
  }

  click(e) {
    if (e.target.closest('[data-act]')) return;
    const address = this.addressOf(e.target);
    if (address === null) return;
    if (this.dropped) {
      this.dropped = false;
      return;
    }
    this.activate(address);
    this.acts.choose(address);
  }

  keydown(e) {
    const here = this.addressOf(e.target);
    if (here === null || e.target.closest('[data-act]')) return;
    if (e.key === 'Enter' || e.key === ' ') {
      // A button clicks by itself; a drive's card is no button.
      if (e.target.tagName !== 'BUTTON') {
        e.preventDefault();
        this.acts.choose(here);
      }
      return;
    }
    const next = this.neighbour(e.target.closest('[data-address]'), e.key);
    if (next) {
      e.preventDefault();
      this.focus(Number(next.dataset.address));
    }
  }

  neighbour(from, key) {
    const all = [...this.floor.querySelectorAll('[data-address]')];
    if (key === 'Home') return all[0];
    if (key === 'End') return all.at(-1);
    const side = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    if (!side) return null;
    const middle = (node) => {
      const b = node.getBoundingClientRect();
      return [b.left + b.width / 2, b.top + b.height / 2];
    };
    const [x, y] = middle(from);
    let best = null;
    let least = Infinity;
    for (const node of all) {
      if (node === from) continue;
      const [nx, ny] = middle(node);
      const along = side[0] ? (nx - x) * side[0] : (ny - y) * side[1];
      if (along < 4) continue;
      const across = Math.abs(side[0] ? ny - y : nx - x);
      const far = along + across * 4;
      if (far < least) {
        least = far;
        best = node;
      }
    }
    return best;
  }

  // -- dragging: mouse and pen; a finger scrolls, and taps to choose

  press(e) {
    this.dropped = false;
    if (e.button !== 0 || e.pointerType === 'touch' || e.target.closest('[data-act]')) return;
    const address = this.addressOf(e.target);
    if (address === null || !this.acts.canHold(address)) return;
    this.drag = { from: address, x: e.clientX, y: e.clientY, ghost: null, over: null };
  }

  dragged(e) {
    const d = this.drag;
    if (!d) return;
    if (!d.ghost) {
      if (Math.hypot(e.clientX - d.x, e.clientY - d.y) < DRAG_PX) return;
      const cell = this.node(d.from);
      d.ghost = h('div', { class: 'ghost-tape mono' }, icon('tape'), cell.dataset.barcode || cell.querySelector('.code')?.textContent);
      document.body.append(d.ghost);
      this.floor.classList.add('dragging');
      getSelection()?.removeAllRanges();
    }
    e.preventDefault();
    d.ghost.style.transform = `translate(${e.clientX + 10}px, ${e.clientY + 8}px)`;
    const to = this.addressOf(document.elementFromPoint(e.clientX, e.clientY));
    if (to !== d.over) {
      this.node(d.over ?? -1)?.classList.remove('over', 'refuses');
      d.over = to;
      if (to !== null && to !== d.from) {
        this.node(to)?.classList.add(this.acts.canTake(d.from, to) ? 'over' : 'refuses');
      }
    }
    const main = document.getElementById('main');
    const box = main.getBoundingClientRect();
    if (e.clientY < box.top + EDGE_PX) main.scrollTop -= 12;
    if (e.clientY > box.bottom - EDGE_PX) main.scrollTop += 12;
  }

  release(e) {
    const d = this.drag;
    this.endDrag();
    if (!d?.ghost) return;
    this.dropped = true;
    setTimeout(() => { this.dropped = false; }, 0);
    if (e.type === 'pointerup' && d.over !== null && this.acts.canTake(d.from, d.over)) {
      this.acts.drop(d.from, d.over);
    }
  }

  endDrag() {
    const d = this.drag;
    this.drag = null;
    if (!d) return;
    d.ghost?.remove();
    this.floor.classList.remove('dragging');
    if (d.over !== null) this.node(d.over)?.classList.remove('over', 'refuses');
  }
}
