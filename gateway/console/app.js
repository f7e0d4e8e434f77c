// The shell: log in, navigation, the page the address names, quick find.
import { h, icon, render } from './dom.js';
import { knows, learn, logout, may, onSession, resume, session } from './api.js';
import { live } from './live.js';
import { banner, menu, toast } from './ui.js';
import { drawLogin } from './login.js';
import { openFinder } from './finder.js';
import overview from './page-overview.js';
import library from './page-library.js';
import tapes from './page-tapes.js';
import tape from './page-tape.js';
import pools from './page-pools.js';
import volumes from './page-volumes.js';
import volume from './page-volume.js';
import snapshots from './page-snapshots.js';
import snapshot from './page-snapshot.js';
import policies from './page-policies.js';
import policy from './page-policy.js';
import jobs from './page-jobs.js';
import sessions from './page-sessions.js';
import alarms from './page-alarms.js';
import audit from './page-audit.js';
import store from './page-store.js';
import users from './page-users.js';

// address, title, icon, page, the operation it stands on, the role it needs
export const PAGES = [
  ['overview', 'Overview', 'overview', overview],
  ['library', 'Library', 'library', library, 'LibraryStatus', '', 'Tape'],
  ['tapes', 'Tapes', 'tape', tapes, 'ListTapes'],
  ['pools', 'Pools', 'pool', pools, 'ListPools'],
  ['volumes', 'Volumes', 'volume', volumes, 'ListVolumes', '', 'Disk'],
  ['snapshots', 'EBS snapshots', 'snapshot', snapshots, 'ListSnapshotArchives'],
  ['policies', 'Policies', 'policy', policies, 'ListPolicies'],
  ['jobs', 'Jobs', 'job', jobs, 'ListJobs', '', 'Operate'],
  ['sessions', 'Sessions', 'session', sessions, 'ListSessions'],
  ['alarms', 'Alarms', 'alarm', alarms],
  ['store', 'Store and keys', 'store', store, 'DescribeStoreTask'],
  ['audit', 'Audit', 'audit', audit, 'ListAudit', 'ListAudit'],
  ['users', 'Users', 'user', users, 'ListUsers', 'ListUsers'],
].map(([id, title, symbol, page, needs, role, group]) =>
  ({ id, title, symbol, page, needs, role, group }));
const DETAILS = { tapes: tape, volumes: volume, snapshots: snapshot, policies: policy };
const TABS = ['overview', 'library', 'tapes', 'jobs'];

const root = document.getElementById('app');
let shell = null;
let current = null;

export const shownPages = () =>
  PAGES.filter((p) => (!p.needs || knows(p.needs)) && (!p.role || may(p.role)));

// An address that somebody typed may be no text.
const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

function here() {
  const [id, ...rest] = location.hash.replace(/^#\/?/, '').split('/').map(decoded);
  const page = shownPages().find((p) => p.id === id) || PAGES[0];
  return { page, args: page.id === id ? rest.filter(Boolean) : [] };
}

export const go = (...parts) => { location.hash = `#/${parts.map(encodeURIComponent).join('/')}`; };

function route() {
  if (!shell) return;
  const { page, args } = here();
  current?.destroy?.();
  current = null;
  shell.view.replaceChildren();
  shell.view.className = `view ${page.id}`;
  const at = args.length && DETAILS[page.id] ? DETAILS[page.id] : page.page;
  const title = args.length && DETAILS[page.id] ? args[0] : page.title;
  document.title = `${title} · coldshelf`;
  shell.page = page.id;
  shell.nav.classList.remove('shown');
  drawFrame();
  shell.title.textContent = at === page.page ? page.title : '';
  shell.title.hidden = at !== page.page;
  current = at.mount(shell.view, args) || {};
  document.getElementById('main').scrollTop = 0;
}

function chooseTheme() {
  const now = document.documentElement.dataset.theme || '';
  const set = (value) => {
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem('coldshelf-theme', value);
    } catch { /* no storage: for this page only */ }
  };
  return [['', 'As the system', 'auto'], ['light', 'Light', 'sun'], ['dark', 'Dark', 'moon']]
    .map(([value, text, symbol]) =>
      [value === now ? `${text} ✓` : text, () => set(value), { symbol }]);
}

function navigation() {
  const shown = shownPages();
  const out = [];
  let group = '';  // of the page; its title comes with its first page that is shown
  let said = '';
  for (const p of PAGES) {
    group = p.group || group;
    if (!shown.includes(p)) continue;
    if (group !== said) out.push(h('h2', { class: 'group', 'data-key': `group-${group}` }, group));
    said = group;
    const note = badge(p.id);
    out.push(h('a', {
      href: `#/${p.id}`, 'data-key': p.id, class: 'item',
      'aria-current': p.id === shell.page ? 'page' : undefined,
    }, icon(p.symbol), h('span', null, p.title), note));
  }
  return out;
}

function badge(id) {
  const s = live.status;
  if (!s) return null;
  const show = (n, kind, what) => (n
    ? h('b', { class: `badge ${kind}` }, n, h('span', { class: 'sr' }, ` ${what}`)) : null);
  if (id === 'alarms') return show(s.Alarms?.length || (s.Problems || []).length, 'bad', 'active');
  if (id === 'jobs') return show(s.RunningJobs, '', 'running');
  if (id === 'sessions') return show(s.Sessions, 'quiet', 'open');
  return null;
}

function drawFrame() {
  const s = live.status;
  render(shell.nav, h('a', { class: 'brand', href: '#/overview', 'aria-label': 'coldshelf, overview' },
    h('img', { src: '/favicon.svg', alt: '', width: 28, height: 28 }), h('span', null, 'coldshelf')),
  h('div', { class: 'items' }, navigation()),
  h('footer', { class: 'muted' }, s ? `Version ${s.Version}` : ''));
  const fine = s && s.Health === 'ok' && !live.problem;
  render(shell.where, h('b', null, s ? s.Gateway : '…'),
    s && h('span', { class: `health ${fine ? 'ok' : 'bad'}` }, h('i'),
      live.problem ? 'no answer' : s.Health === 'ok' ? 'healthy' : 'not healthy'));
  render(shell.notice,
    live.problem && live.problem.status !== 401 && banner('bad', `${live.problem.message} Trying again; what is shown may be old.`),
    s && s.Health !== 'ok' && banner('bad', s.Health),
    s?.WritersSlowed && banner('warn', 'The upload buffer is filling: writers are slowed down to what the store takes.'));
  render(shell.tabs, TABS.map((id) => {
    const p = PAGES.find((q) => q.id === id);
    return h('a', { href: `#/${id}`, 'aria-current': id === shell.page ? 'page' : undefined },
      icon(p.symbol), h('span', null, p.title));
  }), h('button', { type: 'button', 'aria-expanded': String(shell.nav.classList.contains('shown')),
    onclick: () => { shell.nav.classList.toggle('shown'); drawFrame(); } },
  icon('menu'), h('span', null, 'More')));
}

function drawShell() {
  const { user, role } = session.now;
  shell = {
    nav: h('nav', { id: 'nav', 'aria-label': 'Pages' }),
    tabs: h('nav', { id: 'tabs', 'aria-label': 'Main pages' }),
    where: h('div', { class: 'where' }),
    notice: h('div', { class: 'notices' }),
    title: h('h1', { class: 'sr' }),
    view: h('div', { class: 'view' }),
  };
  const skip = h('a', { class: 'skip', href: '#main',
    onclick: (e) => { e.preventDefault(); document.getElementById('main').focus(); } }, 'Skip to content');
  root.replaceChildren(skip, h('div', { class: 'shell' }, shell.nav,
    h('div', { class: 'stage' },
      h('header', { class: 'top' }, shell.where, h('span', { class: 'grow' }),
        h('button', { type: 'button', class: 'find', 'aria-label': 'Find', onclick: () => openFinder() },
          icon('search'), h('span', null, 'Find'), h('kbd', null, '/')),
        menu('', chooseTheme, { kind: 'ghost', symbol: 'auto', name: 'Theme' }),
        menu(user, () => [[`Role: ${role}`, () => {}, { disabled: true, symbol: 'user' }],
          ['Log out', () => logout().catch((p) => toast(p.message, 'bad')), { symbol: 'out' }]],
        { kind: 'ghost', symbol: 'user', name: `Account of ${user}` })),
      shell.notice, h('main', { id: 'main', tabindex: -1 }, shell.title, shell.view)), shell.tabs));
  route();
}

live.on(() => shell && drawFrame());
window.addEventListener('hashchange', route);
document.addEventListener('keydown', (e) => {
  if (!shell || e.target.closest('input, textarea, select, dialog') || e.altKey) return;
  if (e.key === '/' || ((e.ctrlKey || e.metaKey) && e.key === 'k')) {
    e.preventDefault();
    openFinder();
  }
});

// The page asks all the time, so the gateway cannot see that nobody sits there: the page can.
let touched = Date.now();
for (const what of ['pointerdown', 'keydown', 'wheel', 'touchstart']) {
  document.addEventListener(what, () => { touched = Date.now(); }, { passive: true, capture: true });
}
setInterval(() => {
  if (session.now && Date.now() - touched > session.now.idleMs) logout().catch(() => {});
}, 15000);

async function enterConsole() {
  touched = Date.now();
  try {
    await learn();
  } catch (problem) {
    if (session.now) drawLogin(root, problem);
    return;
  }
  live.start();
  drawShell();
}

onSession((who) => {
  if (who) {
    enterConsole();
    return;
  }
  current?.destroy?.();
  current = null;
  shell = null;
  live.stop();
  document.querySelectorAll('dialog').forEach((d) => d.close());
  drawLogin(root);
});

resume().catch((problem) => drawLogin(root, problem));
