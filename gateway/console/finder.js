// Quick find: pages, tapes, volumes by a few letters.
import { h, icon, render } from './dom.js';
import { call, knows } from './api.js';
import { go, shownPages } from './app.js';
import { tapeState } from './ui.js';

const SHOWN = 12;

async function things() {
  const out = shownPages().map((p) => ({ text: p.title, kind: 'page', symbol: p.symbol, to: [p.id] }));
  const tapes = await call('ListTapes', { Limit: 10000 }).catch(() => ({ Tapes: [] }));
  for (const t of tapes.Tapes) {
    out.push({ text: t.Barcode, kind: `${tapeState(t.Status)[0]}${t.Location ? `, ${t.Location}` : ''}`, symbol: 'tape', to: ['tapes', t.Barcode] });
  }
  if (knows('ListVolumes')) {
    const volumes = await call('ListVolumes').catch(() => ({}));
    for (const v of volumes.Volumes || []) {
      out.push({ text: v.Name, kind: 'volume', symbol: 'volume', to: ['volumes', v.Name] });
    }
  }
  return out;
}

export function openFinder() {
  if (document.querySelector('dialog.finder')) return;
  let all = shownPages().map((p) => ({ text: p.title, kind: 'page', symbol: p.symbol, to: [p.id] }));
  let found = [];
  let at = 0;
  const list = h('ul', { class: 'found', role: 'listbox', id: 'found', 'aria-label': 'Found' });
  const input = h('input', {
    type: 'text', role: 'combobox', 'aria-controls': 'found', 'aria-expanded': 'true',
    'aria-autocomplete': 'list', 'aria-label': 'Find a page, a tape, a volume',
    placeholder: 'Find a page, a tape, a volume', autocomplete: 'off', spellcheck: 'false',
  });
  const box = h('dialog', { class: 'finder', 'aria-label': 'Find' },
    h('div', { class: 'line' }, icon('search'), input), list);
  const open = (thing) => {
    box.close();
    go(...thing.to);
  };
  const draw = () => {
    const wanted = input.value.trim().toLowerCase();
    found = all.filter((t) => t.text.toLowerCase().includes(wanted));
    found.sort((a, b) => Number(b.text.toLowerCase().startsWith(wanted)) - Number(a.text.toLowerCase().startsWith(wanted)));
    found = found.slice(0, SHOWN);
    at = Math.max(0, Math.min(at, found.length - 1));
    input.setAttribute('aria-activedescendant', found.length ? `found-${at}` : '');
    render(list, found.length ? found.map((t, i) => h('li', {
      id: `found-${i}`, role: 'option', 'aria-selected': String(i === at),
      onclick: () => open(t),
    }, icon(t.symbol), h('span', { class: t.kind === 'page' ? '' : 'mono' }, t.text), h('small', null, t.kind)))
      : h('li', { class: 'muted', role: 'option', 'aria-selected': 'false' }, 'Nothing of that name'));
  };
  input.oninput = () => { at = 0; draw(); };
  input.onkeydown = (e) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (step) at = (at + step + found.length) % Math.max(1, found.length);
    else if (e.key === 'Enter' && found[at]) open(found[at]);
    else return;
    e.preventDefault();
    draw();
  };
  // No value is returned: false would keep a click from submitting the form.
  box.onclick = (event) => { if (event.target === box) box.close(); };
  box.onclose = () => box.remove();
  document.body.append(box);
  box.showModal();
  draw();
  things().then((t) => { all = t; draw(); });
}
