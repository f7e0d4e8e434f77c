// The form of a policy. What it does not show of one (commands, further tags) it leaves as it is.
import { h } from './dom.js';
import { call } from './api.js';
import { dialog, field } from './ui.js';

const KEEP = ['last', 'daily', 'weekly', 'monthly', 'yearly'];

const tagsText = (tags) => Object.entries(tags || {}).map(([k, v]) => `${k}=${v}`).join(', ');

function tagsOf(text) {
  const out = {};
  for (const part of (text || '').split(',').map((p) => p.trim()).filter(Boolean)) {
    const at = part.indexOf('=');
    if (at < 1) throw new Error(`'${part}' is no tag; write Backup=true, or Name=* for any value.`);
    out[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return out;
}

const list = (text) => (text || '').split(/[\s,]+/).filter(Boolean);

const keep = (name, title, rule) => h('fieldset', { class: 'five' }, h('legend', null, title),
  KEEP.map((k) => field(`${name}.${k}`, k, { kind: 'number', min: 0, max: 10000, value: rule?.[k] ?? '' })),
  field(`${name}.age`, 'not older than', { value: rule?.age ?? '', placeholder: '30d' }));

function ruleOf(v, name) {
  const out = {};
  for (const k of KEEP) if (v[`${name}.${k}`]) out[k] = v[`${name}.${k}`];
  if (v[`${name}.age`]) out.age = v[`${name}.age`];
  return out;
}

export const editPolicy = (p) => dialog({
  title: p ? `Policy ${p.name}` : 'Add a policy', action: 'Save', wide: true,
  body: [
    h('div', { class: 'two' }, field('name', 'Name', { required: true, value: p?.name, readonly: !!p, pattern: '[A-Za-z0-9_\\-][A-Za-z0-9._\\-]{0,63}' }),
      field('schedule', 'When', { class: 'mono', value: p ? p.schedule : 'daily', placeholder: 'only by hand', hint: 'Such as daily, *-*-* 02:30, Mon..Fri 20:00.' })),
    h('div', { class: 'two' }, field('tags', 'Volumes with all of the tags', { required: true, class: 'mono', value: p ? tagsText(p.tags) : 'Backup=true', hint: 'Name=* takes any value.' }),
      field('exclude_tags', 'But with none of', { class: 'mono', value: tagsText(p?.exclude_tags) })),
    h('div', { class: 'two' }, field('regions', 'Regions', { class: 'mono', value: (p?.regions || []).join(', '), placeholder: 'as the account says' }),
      field('accounts', 'Accounts', { value: (p?.accounts || []).join(', '), placeholder: 'the gateway’s own' })),
    h('div', { class: 'two' },
      field('by_instance', 'All volumes of an instance at one moment', { kind: 'check', checked: p?.by_instance ?? true }),
      field('pull', 'Pull them here when complete', { kind: 'check', checked: p?.pull ?? true }),
      field('boot_volumes', 'Boot volumes too', { kind: 'check', checked: p?.boot_volumes ?? true }),
      field('enabled', 'Switched on', { kind: 'check', checked: p?.enabled ?? true })),
    keep('keep_in_aws', 'Keep in AWS', p ? p.keep_in_aws : { last: 3 }),
    keep('keep_in_archive', 'Keep here', p ? p.keep_in_archive : { daily: 14, monthly: 12 }),
    field('notify', 'Tell somebody', { kind: 'select', value: p?.notify || 'failure', options: [['always', 'after every run'], ['failure', 'when something failed'], ['never', 'never']] }),
  ],
  submit: (v) => call('PutPolicy', { Policy: {
    ...p, name: v.name, schedule: v.schedule || '', tags: tagsOf(v.tags), exclude_tags: tagsOf(v.exclude_tags), regions: list(v.regions), accounts: list(v.accounts),
    by_instance: v.by_instance, pull: v.pull, boot_volumes: v.boot_volumes, enabled: v.enabled,
    keep_in_aws: ruleOf(v, 'keep_in_aws'), keep_in_archive: ruleOf(v, 'keep_in_archive'), notify: v.notify } }),
});
