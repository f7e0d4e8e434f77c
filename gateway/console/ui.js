// What pages are made of: buttons, pills, meters, dialogs, messages.
import { h, icon, render } from './dom.js';
import { may, roleOf } from './api.js';
import { bytes, percent } from './format.js';

let serial = 0;
export const uid = (stem) => `${stem}-${++serial}`;

// -- messages

// action: [label, what it does]
export function toast(text, kind = 'ok', action) {
  const box = document.getElementById('toasts');
  const note = h('div', { class: `toast ${kind}` },
    icon(kind === 'bad' ? 'warn' : 'check'), h('span', null, text),
    action && h('button', { type: 'button', class: 'small', onclick: () => { note.remove(); action[1](); } }, action[0]),
    h('button', { type: 'button', class: 'ghost small', 'aria-label': 'Dismiss', onclick: () => note.remove() },
      icon('close')));
  box.append(note);
  // Above dialogs, which are in the top layer too.
  if (box.matches(':popover-open')) box.hidePopover();
  box.showPopover();
  while (box.children.length > 4) box.firstChild.remove();
  setTimeout(() => note.remove(), kind === 'bad' ? 15000 : 5000);
}

export function announce(text) {
  document.getElementById('announcer').textContent = text;
}

export const banner = (kind, ...kids) =>
  h('div', { class: `banner ${kind}`, role: kind === 'bad' ? 'alert' : 'note' },
    icon(kind === 'info' ? 'alarm' : 'warn'), h('div', null, kids));

export const failure = (problem) => banner('bad', problem.message);

// -- small parts

export function button(label, props = {}) {
  const { kind = '', symbol, needs, ...rest } = props;
  const allowed = !needs || may(needs);
  return h('button', {
    type: 'button',
    class: kind,
    ...rest,
    disabled: rest.disabled || !allowed,
    title: allowed ? rest.title : `Needs the role ${roleOf(needs)}`,
  }, symbol && icon(symbol), h('span', null, label));
}

export const pill = (text, kind = '') => h('span', { class: `pill ${kind}` }, text);

const TAPE_STATES = {
  AVAILABLE: ['available', 'ok'],
  CREATING: ['creating', 'busy'],
  'IN TRANSIT TO VTS': ['uploading to archive', 'busy'],
  ARCHIVING: ['archiving', 'busy'],
  ARCHIVED: ['archived', 'cold'],
  RETRIEVING: ['retrieving', 'busy'],
  RETRIEVED: ['retrieved', 'info'],
  RECOVERED: ['recovered', 'info'],
  IRRECOVERABLE: ['irrecoverable', 'bad'],
  DELETING: ['deleting', 'busy'],
  DELETED: ['deleted', ''],
};
export const tapeState = (status) => TAPE_STATES[status] || [String(status || '').toLowerCase(), ''];
export const tapePill = (status) => pill(...tapeState(status));

const JOB_STATES = {
  queued: 'busy', running: 'busy', waiting: 'busy', succeeded: 'ok', failed: 'bad', cancelled: '',
};
export const jobPill = (state) => pill(state, JOB_STATES[String(state).toLowerCase()] || '');

export function meter(part, whole, label, kind = '') {
  const p = whole > 0 ? Math.min(100, (100 * part) / whole) : 0;
  return h('div', {
    class: `meter ${kind}`, role: 'progressbar', 'aria-label': label,
    'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': Math.round(p),
  }, h('i', { style: { width: `${p}%` } }));
}

export function jobProgress(job) {
  const whole = job.TotalBytes || job.TotalObjects;
  const part = job.TotalBytes ? job.DoneBytes : job.DoneObjects;
  const text = job.TotalBytes
    ? `${bytes(job.DoneBytes)} of ${bytes(job.TotalBytes)}`
    : job.TotalObjects ? `${job.DoneObjects} of ${job.TotalObjects} objects` : job.Step || job.State;
  return h('div', { class: 'progress' }, meter(part || 0, whole || 0, `${job.Kind} progress`, 'run'),
    h('span', { class: 'muted' }, whole ? `${percent(part, whole)} · ${text}` : text));
}

export function empty(symbol, title, text, ...actions) {
  return h('div', { class: 'empty' }, icon(symbol), h('h2', null, title), h('p', null, text),
    actions.length ? h('div', { class: 'row' }, actions) : null);
}

export const panel = (title, props, ...kids) =>
  h('section', { class: `panel ${props?.class || ''}`, 'data-key': props?.key },
    h('header', null, h('h2', null, title), props?.tools), kids);

export const facts = (...pairs) =>
  h('dl', { class: 'facts' }, pairs.filter(Boolean).map(([name, ...value]) =>
    h('div', null, h('dt', null, name), h('dd', null, value))));

export const loading = (what) =>
  h('div', { class: 'loading', role: 'status' }, h('i'), `Loading ${what} …`);

// -- forms

// One labelled control. kinds: text, number, password, select, check, area, size
export function field(name, label, props = {}) {
  const id = uid(name);
  const { kind = 'text', options, hint, ...rest } = props;
  const noteId = hint ? `${id}-hint` : undefined;
  const common = { id, name, 'aria-describedby': noteId, ...rest };
  let control;
  if (kind === 'select') {
    control = h('select', common, options.map((o) => {
      const [value, text] = Array.isArray(o) ? o : [o, o];
      return h('option', { value }, text);
    }));
  } else if (kind === 'area') {
    control = h('textarea', { rows: 3, ...common });
  } else if (kind === 'check') {
    return h('label', { class: 'check' }, h('input', { type: 'checkbox', ...common }),
      h('span', null, label, hint && h('small', { id: noteId }, hint)));
  } else {
    control = h('input', { type: kind, autocomplete: 'off', spellcheck: 'false', ...common });
  }
  return h('div', { class: 'field' }, h('label', { for: id }, label), control,
    hint && h('small', { id: noteId }, hint));
}

export function values(form) {
  const out = {};
  for (const c of form.elements) {
    if (!c.name) continue;
    if (c.type === 'checkbox') out[c.name] = c.checked;
    else if (c.type === 'radio') {
      if (c.checked) out[c.name] = c.value;
    } else if (c.value !== '') out[c.name] = c.type === 'number' ? Number(c.value) : c.value;
  }
  return out;
}

// A modal dialog around a form. `submit(values)` may throw: its message is shown and the dialog
// stays. Resolves with what submit returned, or undefined when it was dismissed.
export function dialog({ title, body, action = 'OK', danger, submit, wide, update }) {
  return new Promise((resolve) => {
    let result;
    const note = h('div', { class: 'note', 'aria-live': 'assertive' });
    const go = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' },
      h('span', null, action));
    const id = uid('dialog');
    const content = h('div', { class: 'content' }, body);
    const form = h('form', { novalidate: false }, h('header', null, h('h2', { id }, title),
      h('button', { type: 'button', class: 'ghost', 'aria-label': 'Close', onclick: () => box.close() },
        icon('close'))), content, note,
    h('footer', null,
      h('button', { type: 'button', onclick: () => box.close() }, submit ? 'Cancel' : 'Close'),
      submit && go));
    const box = h('dialog', { 'aria-labelledby': id, class: wide ? 'wide' : '' }, form);
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (!submit) return;
      go.disabled = true;
      render(note);
      try {
        result = (await submit(values(form))) ?? true;
        box.close();
      } catch (problem) {
        // A dialog that only showed something stays without a complaint.
        if (!problem.quiet) render(note, failure(problem));
      }
      go.disabled = false;
    };
    if (update) form.oninput = () => update(values(form), form, go);
    box.onclose = () => {
      box.remove();
      resolve(result);
    };
    // No value is returned: false would keep a click from submitting the form.
    box.onclick = (event) => { if (event.target === box) box.close(); };
    document.body.append(box);
    box.showModal();
    const first = content.querySelector('[autofocus], input, select, textarea');
    (first || go).focus();
    if (update) update(values(form), form, go);
  });
}

// Asks; with `type` the word has to be typed.
export function confirm({ title, text, action, danger = true, type, submit, more }) {
  return dialog({
    title, action, danger,
    body: [h('p', null, text), more,
      type && field('typed', `Type ${type} to confirm`, {
        required: true, class: 'mono', placeholder: type })],
    submit,
    update: type && ((given, _form, go) => { go.disabled = given.typed !== type; }),
  });
}

// A button that opens a menu. items: [label, action, { needs, danger, disabled, symbol }] or null.
// Handlers find their parts from the event: a morphed menu keeps its elements, not its closures.
export function menu(label, items, props = {}) {
  const fill = (list) => render(list, (typeof items === 'function' ? items() : items).filter(Boolean)
    .map(([text, act, o = {}]) => h('button', {
      type: 'button', role: 'menuitem', class: o.danger ? 'danger' : '',
      disabled: o.disabled || (o.needs && !may(o.needs)),
      title: o.needs && !may(o.needs) ? `Needs the role ${roleOf(o.needs)}` : o.title,
      onclick: () => { list.hidePopover(); act(); },
    }, o.symbol && icon(o.symbol), h('span', null, text))));
  const place = (opener, list) => {
    const at = opener.getBoundingClientRect();
    const size = list.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.right - size.width, innerWidth - size.width - 8));
    const below = at.bottom + 4 + size.height < innerHeight;
    list.style.left = `${left}px`;
    list.style.top = `${below ? at.bottom + 4 : Math.max(8, at.top - size.height - 4)}px`;
  };
  return h('span', { class: 'menu-anchor', 'data-key': props.key },
    h('button', {
      type: 'button', class: props.kind || '', 'aria-haspopup': 'menu', 'aria-label': props.name,
      disabled: props.disabled, title: props.title,
      onclick: (e) => {
        const opener = e.currentTarget;
        const list = opener.parentNode.querySelector('.menu');
        fill(list);
        list.showPopover();
        place(opener, list);
        list.querySelector('button:not(:disabled)')?.focus();
      },
    }, props.symbol && icon(props.symbol), label && h('span', null, label)),
    h('div', {
      class: 'menu', popover: 'auto', role: 'menu', 'data-own': true,
      onkeydown: (e) => {
        const list = e.currentTarget;
        const all = [...list.querySelectorAll('button:not(:disabled)')];
        const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
        if (step && all.length) {
          e.preventDefault();
          all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
        } else if (e.key === 'Tab') {
          list.hidePopover();
        } else if (e.key === 'Escape') {
          list.parentNode.querySelector('button').focus();
        }
      },
    }));
}

// Does it, says so, or says why not.
export async function attempt(work, done) {
  try {
    const answer = await work();
    if (done) toast(typeof done === 'function' ? done(answer) : done);
    return answer;
  } catch (problem) {
    toast(problem.message, 'bad');
    return undefined;
  }
}
