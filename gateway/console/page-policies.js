// Policies: which EBS volumes get snapshots, when, and how long they are kept.
import { h, render } from './dom.js';
import { call, poll } from './api.js';
import { go } from './app.js';
import { editPolicy } from './policy-form.js';
import { button, empty, facts, failure, loading, pill } from './ui.js';
import { ago, when } from './format.js';

export const policyPill = (p) => (p.OpenRuns > 0 ? pill('running', 'busy') : !p.Enabled ? pill('switched off')
  : p.LastFailures > 0 ? pill('last run had failures', 'bad') : p.LastRun ? pill('last run well', 'ok') : pill('never ran', 'info'));

const card = (p) => h('article', { class: 'card', 'data-key': p.Name },
  h('header', null, h('h2', null, h('a', { href: `#/policies/${encodeURIComponent(p.Name)}` }, p.Name)), policyPill(p)),
  facts(['When', p.Schedule ? h('span', { class: 'mono' }, p.Schedule) : 'only by hand'], ['Next', p.NextRun ? `${when(p.NextRun)} (${ago(p.NextRun)})` : '–'],
    ['Last', p.LastFinished ? ago(p.LastFinished) : '–'], ['Keeps in AWS', p.KeepInAws], ['Keeps here', p.KeepInArchive]));

export default {
  mount(view) {
    const make = async () => {
      const made = await editPolicy();
      if (made) go('policies', made.Name);
    };
    const add = () => button('Add a policy', { needs: 'PutPolicy', kind: 'primary', symbol: 'plus', onclick: make });
    render(view, loading('the policies'));
    const asking = poll((s) => call('ListPolicies', {}, s), 5000, ({ Policies }) => render(view,
      h('div', { class: 'toolbar' }, h('p', { class: 'muted' }, 'Snapshots of EBS volumes by tag and by the clock, pulled and thinned out.'), h('span', { class: 'grow' }), Policies.length ? add() : null),
      Policies.length ? h('div', { class: 'cards' }, Policies.map(card))
        : empty('policy', 'No policies yet', 'A policy chooses volumes by their tags, makes snapshots when its schedule says so, pulls them and forgets the old ones.', add())),
    (problem) => render(view, failure(problem)));
    return { destroy: () => asking.stop() };
  },
};
