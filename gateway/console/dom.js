// Elements without a framework: h() makes them, morph() brings a drawn tree up to date without
// losing focus, selection or scroll position. No markup is ever parsed from text.

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set(['value', 'checked', 'disabled', 'selected', 'open', 'indeterminate']);

function put(node, props) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) {
      if (PROPERTIES.has(name)) node[name] = false;
      continue;
    }
    if (name.startsWith('on')) {
      node[name] = value;
      (node.$handlers ||= []).push(name);
    } else if (name === 'style') {
      // Through the object model: the content policy forbids style attributes.
      for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    } else if (PROPERTIES.has(name)) {
      node[name] = value;
      if (name === 'value') node.$value = value;
    } else {
      node.setAttribute(name, value === true ? '' : value);
    }
  }
}

function add(node, kids) {
  for (const kid of kids.flat(Infinity)) {
    if (kid === null || kid === undefined || kid === false || kid === '') continue;
    node.append(kid instanceof Node ? kid : document.createTextNode(String(kid)));
  }
}

export function h(tag, props, ...kids) {
  const node = document.createElement(tag);
  const late = tag === 'select' && props && 'value' in props;  // options first
  if (!late) put(node, props);
  add(node, kids);
  if (late) put(node, props);
  return node;
}

export function svg(tag, props, ...kids) {
  const node = document.createElementNS(SVG, tag);
  put(node, props);
  add(node, kids);
  return node;
}

function same(a, b) {
  if (a.nodeType !== b.nodeType) return false;
  if (a.nodeType !== Node.ELEMENT_NODE) return true;
  return a.tagName === b.tagName && a.getAttribute('data-key') === b.getAttribute('data-key') &&
    (a.type === b.type || a.tagName !== 'INPUT');
}

function morphElement(from, to) {
  for (const { name } of [...from.attributes]) {
    if (name !== 'style' && !to.hasAttribute(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (name !== 'style' && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  // What is drawn or placed by somebody else (a chart, an open menu) stays as it is.
  const own = from.hasAttribute('data-own');
  if (!own && from.style.cssText !== to.style.cssText) from.style.cssText = to.style.cssText;
  for (const name of from.$handlers || []) from[name] = null;
  for (const name of to.$handlers || []) from[name] = to[name];
  from.$handlers = to.$handlers;
  for (const name of ['disabled', 'checked', 'indeterminate', 'open']) {
    if (name in from && from[name] !== to[name] && from.tagName !== 'DIALOG') from[name] = to[name];
  }
  if (!own) morphKids(from, to);
  // What somebody is typing stays.
  if ('value' in from && to.$value !== undefined && from.value !== to.value &&
      document.activeElement !== from) {
    from.value = to.value;
  }
}

function morphKids(from, to) {
  const keyed = new Map();
  for (const kid of from.children) {
    const key = kid.getAttribute('data-key');
    if (key !== null) keyed.set(key, kid);
  }
  let at = from.firstChild;
  for (const want of [...to.childNodes]) {
    const key = want.nodeType === Node.ELEMENT_NODE ? want.getAttribute('data-key') : null;
    const found = key !== null ? keyed.get(key) : undefined;
    if (found && same(found, want)) {
      keyed.delete(key);
      if (found === at) at = at.nextSibling;
      else from.insertBefore(found, at);
      morphElement(found, want);
    } else if (at && key === null && same(at, want)) {
      const next = at.nextSibling;
      if (at.nodeType === Node.ELEMENT_NODE) morphElement(at, want);
      else if (at.data !== want.data) at.data = want.data;
      at = next;
    } else {
      from.insertBefore(want, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// Makes the children of `node` what `kids` are.
export function render(node, ...kids) {
  const want = document.createElement('div');
  add(want, kids);
  morphKids(node, want);
}

const ICONS = {
  overview: 'M3 12h4l3-8 4 16 3-8h4',
  library: 'M4 4h16v16H4zM4 9.5h16M4 15h16M9 4v16M14.5 4v16',
  tape: 'M3 6h18v12H3zM8.5 12m-2.2 0a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0-4.4 0M15.5 12m-2.2 0a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0-4.4 0M8.5 14.2h7',
  pool: 'M12 3l9 5-9 5-9-5zM3 12.5l9 5 9-5M3 17l9 5 9-5',
  volume: 'M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zM4 6v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3',
  snapshot: 'M4 8h3l2-3h6l2 3h3v11H4zM12 13m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0',
  policy: 'M5 5h14v16H5zM5 10h14M9 3v4M15 3v4M9 15l2 2 4-4',
  job: 'M12 12m-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0M12 7v5l3.5 2',
  session: 'M4 8h13l-3-3M20 16H7l3 3',
  alarm: 'M6 16v-5a6 6 0 0 1 12 0v5l2 2H4zM10 20.5h4',
  audit: 'M6 3h9l4 4v14H6zM14 3v5h5M9 12h7M9 16h7',
  user: 'M12 8m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M4.5 21c.6-4.2 3.6-6.5 7.5-6.500s6.9 2.3 7.5 6.5',
  store: 'M7 18a4.5 4.5 0 0 1-.6-8.960A6 6 0 0 1 18 8.500a4.75 4.75 0 0 1-.5 9.500z',
  key: 'M8 15m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M11 12l9-9M16.5 6.500l3 3',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'M6 6l12 12M18 6L6 18',
  plus: 'M12 5v14M5 12h14',
  search: 'M11 11m-6.5 0a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0-13 0M16 16l5 5',
  sun: 'M12 12m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2',
  moon: 'M20 14.500A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.500z',
  auto: 'M12 12m-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0M12 3v18M12 8h6.500M12 12h9M12 16h6.5',
  pin: 'M9 3h6l-1 6 4 4H6l4-4zM12 13v8',
  lock: 'M6 11h12v10H6zM8.5 11V7.500a3.5 3.5 0 0 1 7 0V11',
  worm: 'M5 4h14v16H5zM9 9l6 6M15 9l-6 6',
  more: 'M5 12m-.9 0a.9.9 0 1 0 1.8 0a.9.9 0 1 0-1.8 0M12 12m-.9 0a.9.9 0 1 0 1.8 0a.9.9 0 1 0-1.8 0M19 12m-.9 0a.9.9 0 1 0 1.8 0a.9.9 0 1 0-1.8 0',
  right: 'M9 5l7 7-7 7',
  left: 'M15 5l-7 7 7 7',
  eject: 'M6 14l6-8 6 8zM6 19h12',
  check: 'M4 12.500l5.5 5.500L20 7',
  warn: 'M12 3.500L22 20H2zM12 10v4.500M12 17.200v.1',
  down: 'M12 4v13M6 11.500l6 6 6-6M4 21h16',
  up: 'M12 20V7M6 12.500l6-6 6 6M4 3h16',
  out: 'M14 4h6v16h-6M10 8l-4 4 4 4M6 12h9',
  'up-small': 'M7 14l5-5 5 5',
  'down-small': 'M7 10l5 5 5-5',
  refresh: 'M20 11a8 8 0 1 0-1.5 6M20 4v7h-7',
  copy: 'M8 8h12v12H8zM16 8V4H4v12h4',
};

// Decoration: the text beside it, or the button's label, says what it means.
export function icon(name) {
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true' },
    svg('path', { d: ICONS[name] || ICONS.more }));
}
