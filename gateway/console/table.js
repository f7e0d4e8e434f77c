// A table of any length: only the rows in sight are in the document. Sorted by a column's head,
// walked with the arrow keys; Enter opens a row, Space selects it.
import { h, icon, render } from './dom.js';

export class Table {
  // columns: { id, title, cell(row), sort(row), class, phone: 1 to 4, its place there };
  // key(row); open(row);
  // select: called with the Set of selected keys
  constructor({ columns, key, open, select, caption, sort, rowHeight = 40, none }) {
    Object.assign(this, { columns, key, open, select, none });
    this.rowHeight = rowHeight;
    this.rows = [];
    this.selected = new Set();
    this.active = 0;
    [this.sortBy, this.down] = sort || [columns[0].id, false];
    this.body = h('tbody');
    this.head = h('thead');
    this.table = h('table', { 'aria-rowcount': 0 }, h('caption', { class: 'sr' }, caption),
      this.head, this.body);
    this.nothing = h('div', { class: 'nothing', hidden: true });
    this.root = h('div', { class: 'table', 'data-own': true, 'data-key': 'table' },
      this.table, this.nothing);
    this.root.onscroll = () => this.draw();
    this.body.onkeydown = (e) => this.keydown(e);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.root);
    this.drawHead();
  }

  destroy() {
    this.watch.disconnect();
  }

  setRows(rows) {
    const held = this.rows[this.active] && this.key(this.rows[this.active]);
    this.rows = [...rows];
    const column = this.columns.find((c) => c.id === this.sortBy);
    if (column?.sort) {
      const by = column.sort;
      this.rows.sort((a, b) => {
        const x = by(a);
        const y = by(b);
        const order = x < y ? -1 : x > y ? 1 : 0;
        return this.down ? -order : order;
      });
    }
    const at = held === undefined ? -1 : this.rows.findIndex((r) => this.key(r) === held);
    this.active = at >= 0 ? at : Math.min(this.active, Math.max(0, rows.length - 1));
    if (this.selected.size) {
      const there = new Set(rows.map(this.key));
      for (const key of this.selected) if (!there.has(key)) this.selected.delete(key);
    }
    this.table.setAttribute('aria-rowcount', rows.length + 1);
    this.nothing.hidden = rows.length > 0;
    if (!rows.length) render(this.nothing, this.none ? this.none() : 'Nothing here.');
    this.drawHead();
    this.draw();
  }

  sort(id) {
    this.down = this.sortBy === id ? !this.down : false;
    this.sortBy = id;
    this.setRows(this.rows);
  }

  toggle(key, on = !this.selected.has(key)) {
    if (on) this.selected.add(key);
    else this.selected.delete(key);
    this.select?.(this.selected);
    this.drawHead();
    this.draw();
  }

  drawHead() {
    const all = this.rows.length > 0 && this.selected.size === this.rows.length;
    render(this.head, h('tr', null,
      this.select && h('th', { class: 'tick' }, h('input', {
        type: 'checkbox', 'aria-label': 'Select all', checked: all,
        indeterminate: !all && this.selected.size > 0,
        onchange: () => {
          this.selected = new Set(all ? [] : this.rows.map(this.key));
          this.select(this.selected);
          this.drawHead();
          this.draw();
        },
      })),
      this.columns.map((c) => {
        const here = this.sortBy === c.id;
        return h('th', {
          scope: 'col', class: c.class, 'aria-sort': here ? (this.down ? 'descending' : 'ascending') : undefined,
        }, c.sort ? h('button', { type: 'button', class: 'sort', onclick: () => this.sort(c.id) },
          h('span', null, c.title), here && icon(this.down ? 'down-small' : 'up-small')) : c.title || h('span', { class: 'sr' }, 'Actions'));
      })));
  }

  draw() {
    const height = matchMedia('(max-width: 640px)').matches ? 56 : this.rowHeight;
    const view = this.root.clientHeight || 600;
    const span = this.columns.length + (this.select ? 1 : 0);
    const first = Math.max(0, Math.floor(this.root.scrollTop / height) - 10);
    const last = Math.min(this.rows.length, Math.ceil((this.root.scrollTop + view) / height) + 10);
    const space = (id, rows) => h('tr', { 'aria-hidden': 'true', class: 'space', 'data-key': id },
      h('td', { colspan: span, style: { height: `${rows * height}px` } }));
    const out = [];
    if (first > 0) out.push(space('before', first));
    for (let i = first; i < last; i += 1) out.push(this.row(this.rows[i], i));
    if (last < this.rows.length) out.push(space('after', this.rows.length - last));
    render(this.body, out);
  }

  row(row, i) {
    const key = this.key(row);
    const chosen = this.selected.has(key);
    return h('tr', {
      'data-key': key, 'aria-rowindex': i + 2, tabindex: i === this.active ? 0 : -1,
      class: `${chosen ? 'chosen' : ''} ${this.open ? 'opens' : ''}`,
      'data-index': i,
      onclick: (e) => {
        if (e.target.closest('button, a, input, label, [popover]')) return;
        this.active = i;
        this.open?.(row);
      },
    },
    this.select && h('td', { class: 'tick' }, h('input', {
      type: 'checkbox', tabindex: -1, 'aria-label': `Select ${key}`, checked: chosen,
      onchange: () => this.toggle(key),
    })),
    this.columns.map((c) => h('td', { class: `${c.class || ''}${c.phone ? ` p${c.phone}` : ''}` }, c.cell(row))));
  }

  keydown(e) {
    if (e.target.tagName !== 'TR') return;
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.rowHeight) - 2);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 }[e.key];
    const row = this.rows[this.active];
    if (step) {
      this.active = Math.max(0, Math.min(this.rows.length - 1, this.active + step));
      const top = this.active * this.rowHeight;
      const view = this.root.clientHeight - 2 * this.rowHeight;
      if (top < this.root.scrollTop) this.root.scrollTop = top;
      if (top > this.root.scrollTop + view) this.root.scrollTop = top - view;
      this.draw();
      this.body.querySelector(`[data-index="${this.active}"]`)?.focus({ preventScroll: true });
    } else if (e.key === 'Enter' && this.open) {
      this.open(row);
    } else if (e.key === ' ' && this.select) {
      this.toggle(this.key(row));
    } else {
      return;
    }
    e.preventDefault();
  }
}
