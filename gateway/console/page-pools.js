// Pools: a storage class and what goes with it.
import { h, render } from './dom.js';
import { call, poll } from './api.js';
import { attempt, button, confirm, dialog, empty, facts, failure, field, loading, pill } from './ui.js';
import { bytes, count, money, plural } from './format.js';

const CLASSES = ['STANDARD', 'INTELLIGENT_TIERING', 'STANDARD_IA', 'ONEZONE_IA', 'GLACIER_IR', 'GLACIER', 'DEEP_ARCHIVE'];

const create = () => dialog({
  title: 'Create a pool', action: 'Create',
  body: [
    h('p', null, 'Class and lock never change afterwards.'),
    field('Name', 'Name', { required: true, class: 'mono' }),
    h('div', { class: 'two' },
      field('StorageClass', 'Storage class', { kind: 'select', value: 'GLACIER', options: CLASSES }),
      field('Mode', 'How segments get there', { kind: 'select', options: [['', 'As fits the class'],
        ['staged', 'staged: when the tape is archived'], ['direct', 'direct: at once']] })),
    h('div', { class: 'two' },
      field('Lock', 'Retention lock', { kind: 'select', options: [['none', 'none'], ['governance', 'governance'], ['compliance', 'compliance']],
        hint: 'Archived tapes cannot be deleted; compliance by nobody at all.' }),
      field('LockDays', 'For how many days', { kind: 'number', min: 1, max: 36500 })),
  ],
  update: (v, form) => { form.elements.LockDays.disabled = v.Lock === 'none'; },
  submit: (v) => call('CreatePool', { Name: v.Name, StorageClass: v.StorageClass, Lock: v.Lock,
    ...(v.Mode && { Mode: v.Mode }), ...(v.LockDays && { LockDays: v.LockDays }) }),
});

function card(p, after) {
  return h('article', { class: 'card', 'data-key': p.Name },
    h('header', null, h('h2', { class: 'mono' }, p.Name), pill(p.StorageClass, /GLACIER$|DEEP/.test(p.StorageClass) ? 'cold' : 'info'),
      p.Lock !== 'NONE' && pill(`${p.Lock.toLowerCase()}, ${plural(p.LockDays, 'day')}`, 'warn')),
    h('p', { class: 'big' }, money(p.MonthlyCost, p.Currency), h('small', { class: 'muted' }, ' a month')),
    facts(['Tapes', h('span', null, count(p.Tapes))], ['Data', bytes(p.UsedInBytes)],
      ['In the store', `${bytes(p.StoredInBytes)}, ${plural(p.Objects, 'object')}`], ['Mode', p.Mode]),
    h('footer', null, button('Delete', { needs: 'DeletePool', kind: 'ghost small', disabled: p.Tapes > 0,
      title: p.Tapes > 0 ? 'Tapes are in it' : '',
      onclick: async () => {
        if (await confirm({ title: `Delete pool ${p.Name}`, action: 'Delete', text: 'No tape is in it.',
          submit: () => call('DeletePool', { Name: p.Name }) })) after();
      } })));
}

export default {
  mount(view) {
    const make = () => attempt(create).then((made) => made && asking.refresh());
    render(view, loading('the pools'));
    const asking = poll((s) => call('ListPools', {}, s), 10000, ({ Pools }) => render(view,
      h('div', { class: 'toolbar' }, h('p', { class: 'muted' }, 'Where tapes go when they are archived.'), h('span', { class: 'grow' }),
        button('Create a pool', { needs: 'CreatePool', symbol: 'plus', kind: 'primary', onclick: make })),
      Pools.length ? h('div', { class: 'cards' }, Pools.map((p) => card(p, () => asking.refresh())))
        : empty('pool', 'No pools', 'A pool says in which storage class tapes lie.')),
    (problem) => render(view, failure(problem)));
    return { destroy: () => asking.stop() };
  },
};
