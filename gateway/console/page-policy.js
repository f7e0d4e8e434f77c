// One policy: what it says, what it would do now, its runs, and what it holds.
import { h, icon, render } from './dom.js';
import { call, poll } from './api.js';
import { go } from './app.js';
import { editPolicy } from './policy-form.js';
import { policyPill } from './page-policies.js';
import { attempt, banner, button, confirm, dialog, facts, failure, loading, menu, panel, pill } from './ui.js';
import { ago, bytes, count, money, plural, when } from './format.js';

const lines = (title, list, say) => list.length > 0 && [h('h3', null, `${title} (${list.length})`),
  h('ul', { class: 'lines flat' }, list.slice(0, 200).map((x) => h('li', null, say(x))))];
const mono = (text) => h('span', { class: 'mono' }, text);

async function preview(name) {
  const p = await attempt(() => call('RunPolicy', { Name: name, DryRun: true }));
  if (!p) return;
  const nothing = !p.Snapshots.length && !p.DeleteInAws.length && !p.DeleteInArchive.length;
  dialog({ title: `What ${name} would do now`, wide: true, body: [
    p.Failed.length > 0 && banner('bad', p.Failed.map((f) => h('p', null, f))), nothing && h('p', { class: 'muted' }, 'Nothing.'),
    lines('Makes snapshots of', p.Snapshots, (s) => [s.InstanceId && mono(s.InstanceId), mono(s.VolumeIds.join(' ')), h('span', { class: 'muted' }, s.Place)]),
    lines('Deletes in AWS', p.DeleteInAws, (d) => [mono(d.SnapshotId), h('span', { class: 'muted' }, d.Why)]),
    lines('Deletes here', p.DeleteInArchive, (d) => [mono(d.SnapshotId), h('span', null, d.Archive), h('span', { class: 'muted' }, d.Why)]),
    lines('Leaves alone', p.Skipped, (s) => [mono(s.What), h('span', { class: 'muted' }, s.Why)])] });
}

const showRun = (r) => dialog({ title: `Run ${r.RunId}`, wide: true, body: [
  facts(['Due', when(r.Due)], ['Begun', r.ByHand ? `${when(r.Started)}, by hand` : when(r.Started)], ['Ended', r.Finished ? when(r.Finished) : r.Phase],
    r.Missed > 0 && ['Makes up for', plural(r.Missed, 'missed run')], ['Told', r.Notified ? 'yes' : 'no']),
  lines('Volumes', r.Items, (i) => [mono(i.VolumeId), mono(i.SnapshotId), pill(i.State, i.State === 'done' ? 'ok' : i.State === 'failed' ? 'bad' : i.State.startsWith('skipped') ? 'cold' : 'busy'), h('span', { class: 'problem' }, i.Note)]),
  lines('Failed', r.Failed, (t) => h('span', { class: 'problem' }, t)), lines('Done', r.Done, (t) => t), lines('Skipped', r.Skipped, (t) => h('span', { class: 'muted' }, t))] });

class PolicyPage {
  constructor(view, [name]) {
    this.view = view;
    this.name = name;
    render(view, loading(name));
    this.poll = poll((s) => call('DescribePolicy', { Name: name }, s), 4000, (p) => { this.policy = p; this.draw(); },
      (problem) => render(view, h('div', { class: 'toolbar' }, h('a', { href: '#/policies', class: 'back' }, icon('left'), 'Policies')), failure(problem)));
    this.reports = poll((s) => call('DescribePolicyReport', { Name: name }, s), 60000, (r) => { this.report = r; this.draw(); }, (problem) => { this.wrong = problem; this.draw(); });
  }

  destroy() {
    this.poll.stop();
    this.reports.stop();
  }

  draw() {
    const p = this.policy;
    if (!p) return;
    const after = () => this.poll.refresh();
    const d = p.Policy;
    const tags = Object.entries(d.tags || {}).map(([k, v]) => `${k}=${v}`).join(', ');
    render(this.view, h('div', { class: 'toolbar' }, h('a', { href: '#/policies', class: 'back' }, icon('left'), 'Policies'), h('h1', null, p.Name), policyPill(p), h('span', { class: 'grow' }),
      button('What would it do?', { needs: 'RunPolicy', symbol: 'search', onclick: () => preview(this.name) }),
      button('Run now', { needs: 'RunPolicy', kind: 'primary', symbol: 'right', onclick: () => attempt(() => call('RunPolicy', { Name: this.name }), (a) => `Run ${a.RunId} begun.`).then(after) }),
      menu('More', () => [['Change …', () => editPolicy(this.policy.Policy).then(after), { needs: 'PutPolicy', symbol: 'policy', disabled: p.Configured }],
        ['Delete …', () => confirm({ title: `Delete policy ${this.name}`, action: 'Delete', text: 'Snapshots that it made stay, in AWS and here.', submit: () => call('DeletePolicy', { Name: this.name }) }).then((done) => done && go('policies')),
          { needs: 'DeletePolicy', danger: true, symbol: 'close', disabled: p.Configured }]], { symbol: 'more', key: 'more' })),
    p.Configured && banner('info', 'It stands in the configuration’s file and is changed there.'),
    h('div', { class: 'columns' },
      panel('Policy', { key: 'policy' }, facts(['When', d.schedule ? mono(d.schedule) : 'only by hand'], ['Next', p.NextRun ? `${when(p.NextRun)} (${ago(p.NextRun)})` : '–'],
        ['Volumes with', mono(tags)], Object.keys(d.exclude_tags || {}).length > 0 && ['Not with', mono(Object.entries(d.exclude_tags).map(([k, v]) => `${k}=${v}`).join(', '))],
        ['Regions', d.regions?.join(', ') || 'as the account says'], d.accounts?.length > 0 && ['Accounts', d.accounts.join(', ')],
        ['Of an instance', d.by_instance ? 'all volumes at one moment' : 'each volume for itself'], d.pre_command && ['Before', mono(d.pre_command.join(' '))], d.post_command && ['After', mono(d.post_command.join(' '))],
        ['Pulled', d.pull ? 'yes' : 'no'], ['Keeps in AWS', p.KeepInAws], ['Keeps here', p.KeepInArchive], ['Tells', d.notify])),
      panel('Runs', { key: 'runs' }, p.Runs.length ? h('ul', { class: 'lines' }, [...p.Runs].reverse().slice(0, 12).map((r) => h('li', { 'data-key': r.RunId },
        h('button', { type: 'button', class: 'link', onclick: () => showRun(r) }, when(r.Due)), h('span', { class: 'grow muted' }, plural(r.Items.length, 'volume')),
        r.Failed.length ? pill(`${r.Failed.length} failed`, 'bad') : r.Finished ? pill('well', 'ok') : pill(r.Phase, 'busy'))))
        : h('p', { class: 'muted pad' }, 'It never ran.'))),
    panel('Holds', { key: 'holds', tools: this.report && h('span', { class: 'muted' }, `AWS about ${money(this.report.AwsCostPerMonth, this.report.Currency)} a month`) },
      this.wrong && !this.report ? failure(this.wrong) : !this.report ? loading('the report') : this.report.Volumes.length === 0 ? h('p', { class: 'muted pad' }, 'No snapshots yet.')
        : h('ul', { class: 'lines' }, this.report.Volumes.map((v) => h('li', { 'data-key': v.VolumeId }, h('div', { class: 'grow' }, h('b', { class: 'mono' }, v.VolumeId),
          h('p', { class: 'muted' }, `${count(v.InAws)} in AWS, ${count(v.InArchive)} here${v.ArchiveStatus === 'ARCHIVED' ? ' (archived: nothing is pulled until it is retrieved)' : ''} · changed ${bytes(v.ChangedInBytes)}, stored ${bytes(v.StoredInBytes)}`)),
        v.Archive && h('a', { href: `#/snapshots/${encodeURIComponent(v.Archive)}` }, v.Archive), h('span', { class: 'num' }, money(v.AwsCostPerMonth, this.report.Currency)))))));
  }
}

export default { mount: (view, args) => new PolicyPage(view, args) };
