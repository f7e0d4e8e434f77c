// Who may use the management API and this console.
import { h, icon, render } from './dom.js';
import { call, poll, session } from './api.js';
import { banner, button, confirm, dialog, empty, failure, field, loading, menu, pill, toast } from './ui.js';
import { when } from './format.js';

const ROLES = [['viewer', 'viewer: sees everything'], ['operator', 'operator: moves, archives, recalls too'], ['admin', 'admin: everything']];

// The secret is shown this once.
const showKey = (made) => dialog({
  title: `Key of ${made.Name}`, body: [
    banner('warn', 'The secret is shown this once. Keep it now.'),
    h('dl', { class: 'facts' }, [['Access key ID', made.AccessKeyId], ['Secret access key', made.SecretAccessKey]].map(([name, value]) =>
      h('div', null, h('dt', null, name), h('dd', null, h('code', { class: 'wrap' }, value),
        h('button', { type: 'button', class: 'ghost small', 'aria-label': `Copy ${name}`, onclick: () => navigator.clipboard?.writeText(value).then(() => toast('Copied.')) }, icon('copy'))))))],
});

const create = () => dialog({
  title: 'Add a user', action: 'Add',
  body: [field('Name', 'Name', { required: true }), field('Role', 'Role', { kind: 'select', options: ROLES, value: 'operator' })],
  submit: (v) => call('CreateUser', { Name: v.Name, Role: v.Role }),
});

export default {
  mount(view) {
    render(view, loading('the users'));
    const again = () => asking.refresh();
    const rotate = (u) => async () => {
      const made = await dialog({ title: `New key for ${u.Name}`, action: 'Make a new key',
        body: [h('p', null, 'The old key goes on working for a while, so that programs can be changed over.'),
          field('Hours', 'Old key works for (hours)', { kind: 'number', min: 0, max: 720, value: 24 })],
        submit: (v) => call('RotateAccessKey', { Name: u.Name, GraceMs: Math.round((v.Hours || 0) * 3600e3) }) });
      if (made) { await showKey(made); again(); }
    };
    const remove = (u) => async () => {
      if (await confirm({ title: `Remove ${u.Name}`, action: 'Remove', text: 'Their keys stop working at once.',
        submit: () => call('DeleteUser', { Name: u.Name }) })) again();
    };
    const asking = poll((s) => call('ListUsers', {}, s), 15000, ({ Users }) => render(view,
      h('div', { class: 'toolbar' }, h('p', { class: 'muted' }, 'Access keys sign in here, and sign requests of programs.'), h('span', { class: 'grow' }),
        button('Add a user', { needs: 'CreateUser', kind: 'primary', symbol: 'plus',
          onclick: async () => { const made = await create(); if (made) { await showKey(made); again(); } } })),
      Users.length ? h('ul', { class: 'panel lines' }, Users.map((u) => h('li', { 'data-key': u.Name, class: 'user' }, icon('user'),
        h('b', null, u.Name), u.Name === session.now?.user && h('small', { class: 'muted' }, 'you'),
        pill(u.Role, u.Role === 'admin' ? 'warn' : u.Role === 'operator' ? 'info' : ''), h('span', { class: 'grow' }),
        h('span', { class: 'muted' }, u.AccessKeys.map((k) => h('span', { class: 'mono keyline' }, k.AccessKeyId, k.Expires ? ` until ${when(k.Expires)}` : ''))),
        menu('', () => [['New key …', rotate(u), { symbol: 'key', needs: 'RotateAccessKey' }], ['Remove …', remove(u), { symbol: 'close', danger: true, needs: 'DeleteUser' }]],
          { kind: 'ghost', symbol: 'more', name: `Actions for ${u.Name}`, key: u.Name }))))
        : empty('user', 'No users', 'Only the local socket can be used until there are some.')),
    (problem) => render(view, failure(problem)));
    return { destroy: () => asking.stop() };
  },
};
