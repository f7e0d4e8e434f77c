// The object store as a whole: checking it, cleaning it; and the keys.
import { h, render } from './dom.js';
import { call, knows, poll } from './api.js';
import { live } from './live.js';
import { attempt, banner, button, dialog, empty, facts, failure, field, loading, meter, panel, pill } from './ui.js';
import { bytes, count, percent, plural } from './format.js';

function report(task) {
  const r = task.Report;
  if (!r) return null;
  if (r.Deleted !== undefined) {
    return facts(['Cartridges looked at', count(r.Cartridges)], ['Deleted objects', `${count(r.Deleted)}, ${bytes(r.DeletedBytes)}`],
      ['Kept because young', count(r.KeptYoung)], ['Locked', count(r.Locked)]);
  }
  return [facts(['Cartridges', count(r.Cartridges)], ['Segments', `${count(r.Segments)}, ${bytes(r.Bytes)}`],
    ['Read whole', count(r.ReadSegments)], ['Not readable without a restore', count(r.ColdSegments)],
    ['Nobody’s objects', `${count(r.Orphans)}, ${bytes(r.OrphanBytes)}`], ['Problems', count(r.ProblemCount)]),
  r.Problems?.length > 0 && h('ul', { class: 'problems pad' }, r.Problems.slice(0, 50).map((p) => h('li', null, h('b', null, p.Barcode || p.Key), ' ', p.What)))];
}

class Store {
  constructor(view) {
    this.view = view;
    render(view, loading('the store'));
    this.poll = poll(async (s) => {
      [this.task, this.keys] = await Promise.all([call('DescribeStoreTask', {}, s),
        knows('DescribeKeys') ? call('DescribeKeys', {}, s) : null]);
    }, () => (/running/i.test(this.task?.State) ? 1000 : 6000), () => this.draw(), (p) => !this.task && render(view, failure(p)));
  }

  destroy() {
    this.poll.stop();
  }

  begin(op, input, text) {
    return attempt(() => call(op, input), text).then(() => this.poll.refresh());
  }

  async gc() {
    const done = await dialog({ title: 'Collect garbage', action: 'Begin', body: [
      h('p', null, 'Objects that nothing refers to are deleted from the store.'),
      field('Days', 'Only what is older than (days)', { kind: 'number', min: 0, max: 3650, value: 7 }),
      field('Dry', 'Only count, delete nothing', { kind: 'check', checked: true })],
    submit: (v) => call('StartStoreGc', { DryRun: v.Dry, MinAgeMs: Math.round((v.Days ?? 7) * 86400e3) }) });
    if (done) this.poll.refresh();
  }

  draw() {
    const t = this.task;
    const busy = /running/i.test(t.State || '');
    render(this.view, h('div', { class: 'columns' },
      panel('Object store', { key: 'store', tools: t.State && t.State !== 'none' && pill(`${t.Task || t.Kind || ''} ${t.State}`.trim(), busy ? 'busy' : /failed/.test(t.State) ? 'bad' : 'ok') },
        facts(['Where', h('span', { class: 'mono wrap' }, live.status?.Store || '–')],
          ['Several gateways', live.status?.Sharing?.ConditionalWrites ? 'safe: conditional writes' : 'no conditional writes']),
        busy && h('div', { class: 'pad' }, meter(t.Done || 0, t.Total || 0, 'Progress', 'run'), h('p', { class: 'muted' }, `${count(t.Done)} of ${count(t.Total)} (${percent(t.Done, t.Total)})`)),
        t.Error && banner('bad', t.Error), !busy && report(t),
        h('div', { class: 'row pad' },
          button('Check', { needs: 'StartStoreVerify', symbol: 'check', disabled: busy, title: 'Every manifest against every object’s size and checksum', onclick: () => this.begin('StartStoreVerify', {}, 'Checking the store.') }),
          button('Check, reading everything', { needs: 'StartStoreVerify', disabled: busy, onclick: () => this.begin('StartStoreVerify', { Deep: true }, 'Reading the whole store.') }),
          button('Collect garbage', { needs: 'StartStoreGc', disabled: busy, onclick: () => this.gc() }))),
      this.keys && this.drawKeys()));
  }

  drawKeys() {
    const k = this.keys;
    const r = k.Rotation;
    const busy = /running/i.test(r.State);
    return panel('Keys', { key: 'keys', tools: r.State !== 'none' && r.State !== 'idle' && pill(r.State, busy ? 'busy' : '') },
      k.Keys.length ? h('ul', { class: 'lines' }, k.Keys.map((key) => h('li', { 'data-key': key.KeyId }, h('span', { class: 'mono wrap grow' }, key.KeyId),
        pill(key.State, /use|current/.test(key.State) ? 'ok' : ''), h('span', { class: 'muted' }, plural(key.Tapes, 'tape')))))
        : empty('key', 'Not encrypted', 'Set [encryption] in the configuration; new tapes are encrypted then.'),
      facts(['Tapes without encryption', count(k.NotEncrypted)], k.Unreadable > 0 && ['Unreadable: key missing', count(k.Unreadable)],
        busy && ['Wrapped anew', `${count(r.Done)} of ${count(r.Total)}`]),
      r.Failures?.length > 0 && h('ul', { class: 'problems pad' }, r.Failures.map((f) => h('li', null, f.Barcode, ': ', f.Error))),
      h('div', { class: 'row pad' }, button('Rotate keys', { needs: 'RotateKeys', symbol: 'refresh', disabled: busy || !k.Keys.length,
        title: 'Wraps every tape’s data key by the key in use; no data is read or written',
        onclick: () => this.begin('RotateKeys', {}, 'Wrapping the keys anew.') })));
  }
}

export default { mount: (view) => new Store(view) };
