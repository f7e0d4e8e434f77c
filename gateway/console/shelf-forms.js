// To the shelf and back costs money: what tapes and archives of EBS snapshots ask before it begins.
import { h, render } from './dom.js';
import { call } from './api.js';
import { banner, dialog, facts, failure, field } from './ui.js';
import { bytes, count, hours, money, plural } from './format.js';

export const poolOptions = async () => (await call('ListPools')).Pools;

function tierCard(t, currency, chosen) {
  const id = `tier-${t.Tier}`;
  return h('label', { class: `choice ${t.Possible ? '' : 'off'}`, for: id },
    h('input', { type: 'radio', id, name: 'Tier', value: t.Tier, disabled: !t.Possible, checked: chosen }),
    h('b', null, t.Tier),
    t.Possible ? [h('span', null, t.AtMostHours ? `within ${hours(t.AtMostHours)}` : 'at once'),
      h('span', { class: 'price' }, money(t.Total, currency))]
      : h('span', { class: 'muted' }, 'not offered for this class'));
}

export const daysField = () =>
  field('Days', 'Keep readable for (days)', { kind: 'number', min: 1, max: 36500, placeholder: 'the gateway’s default' });

// `input(values)`: what both operations are given but the tier; null: something is missing.
export function retrieveDialog({ title, body, input, shape, estimate, retrieve }) {
  const result = h('div', { class: 'estimate', 'data-own': true, 'aria-live': 'polite' });
  let asked = '';
  let timer = 0;
  let tier = 'Standard';
  const ask = async (wanted, go) => {
    try {
      const e = await call(estimate, wanted);
      if (JSON.stringify(wanted) !== asked) return;
      const can = e.Tiers.filter((t) => t.Possible);
      if (!can.some((t) => t.Tier === tier)) tier = can[0]?.Tier;
      const pick = h('fieldset', null, h('legend', null, 'How soon'),
        e.Tiers.map((t) => tierCard(t, e.Currency, t.Tier === tier)));
      pick.onchange = (c) => { tier = c.target.value; };
      result.replaceChildren(pick, facts(
        ['Objects to restore', count(e.Objects)], ['Bytes', bytes(e.Bytes)],
        ['Readable for', plural(e.Days, 'day')], ['Downloading it once', money(e.Reading, e.Currency)]));
      go.disabled = !can.length;
    } catch (problem) {
      if (JSON.stringify(wanted) !== asked) return;
      result.replaceChildren(failure(problem));
      go.disabled = true;
    }
  };
  return dialog({
    title, action: 'Retrieve', wide: true, body: [body, result],
    update: (v, _form, go) => {
      shape?.(v);
      const wanted = input(v);
      if (JSON.stringify(wanted) === asked) return;
      asked = JSON.stringify(wanted);
      go.disabled = true;
      clearTimeout(timer);
      if (wanted) timer = setTimeout(() => ask(wanted, go), 200);
      else render(result, h('p', { class: 'muted' }, 'Say which, and the estimate appears here.'));
    },
    submit: (v) => call(retrieve, { ...input(v), Tier: tier }),
  });
}

// `what`: what both operations are given but the pool.
export async function moveDialog({ name, pool, what, estimate, assign }) {
  const pools = (await poolOptions()).filter((p) => p.Name !== pool);
  const result = h('div', { class: 'estimate', 'data-own': true, 'aria-live': 'polite' });
  let asked = '';
  return dialog({
    title: `Move ${name} to another pool`, action: 'Move',
    body: [
      h('p', null, `It is in ${pool} now. What is archived can go to a colder class only.`),
      pools.length ? field('Pool', 'Pool', { kind: 'select', options: pools.map((p) => [p.Name, `${p.Name} (${p.StorageClass})`]) })
        : banner('info', 'There is no other pool. Make one on the page Pools.'),
      result,
    ],
    update: async (v, _form, go) => {
      if (!v.Pool) { go.disabled = true; return; }
      if (asked === v.Pool) return;
      asked = v.Pool;
      try {
        const e = await call(estimate, { ...what, Pool: v.Pool });
        if (asked !== v.Pool) return;
        result.replaceChildren(facts(
          ['Once', money(e.Total, e.Currency)], ['A month now', money(e.MonthlyBefore, e.Currency)],
          ['A month then', money(e.MonthlyAfter, e.Currency)],
          e.Retrieval > 0 && ['Of that for reading it', money(e.Retrieval, e.Currency)],
          e.EarlyDeletion > 0 && ['Of that for early deletion', money(e.EarlyDeletion, e.Currency)]));
        go.disabled = false;
      } catch (problem) {
        if (asked !== v.Pool) return;
        result.replaceChildren(failure(problem));
        go.disabled = true;
      }
    },
    submit: (v) => call(assign, { ...what, Pool: v.Pool }),
  });
}
