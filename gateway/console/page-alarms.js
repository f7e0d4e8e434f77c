// What needs somebody's attention, and what did.
import { h, icon, render } from './dom.js';
import { call, knows, poll } from './api.js';
import { live } from './live.js';
import { attempt, button, empty, loading, panel, pill } from './ui.js';
import { ago, when } from './format.js';

// What the gateway's status says by itself; the alarms proper come from ListAlarms.
function standing(s) {
  const out = [];
  if (s.Health !== 'ok') out.push(['bad', 'The gateway is not healthy', s.Health]);
  if (s.WritersSlowed) out.push(['warn', 'Writers are slowed down', 'The upload buffer is filling faster than the store takes it.']);
  if (s.Sharing?.Problem) out.push(['warn', 'Sharing the store', s.Sharing.Problem]);
  for (const d of live.drives) if (d.Problem) out.push(['bad', `Drive ${d.Number}`, d.Problem, '#/library']);
  for (const p of s.Problems || []) out.push(['bad', `Tape ${p.Barcode}`, p.Problem, `#/tapes/${p.Barcode}`]);
  return out;
}

const tone = (severity) => (/crit|error/i.test(severity) ? 'bad' : /info/i.test(severity) ? 'info' : 'warn');
const words = (name) => String(name).replace(/[-_]/g, ' ');

function line(a, refresh) {
  return h('li', { 'data-key': `a-${a.Alarm}-${a.Subject}` }, h('span', { class: `sign ${tone(a.Severity)}` }, icon('warn')),
    h('div', { class: 'grow' }, h('b', { class: 'first-up' }, words(a.Alarm)), a.Subject && h('span', { class: 'mono' }, ` ${a.Subject}`),
      h('p', null, a.Detail), a.Help && h('p', { class: 'muted' }, a.Help)),
    pill(a.Severity, tone(a.Severity)), h('span', { class: 'muted' }, a.Cleared ? `cleared ${ago(a.Cleared)}` : `since ${when(a.Raised)} (${ago(a.Raised)})`),
    !a.Cleared && (a.Acknowledged ? pill('acknowledged') : button('Acknowledge', { needs: 'AcknowledgeAlarm', kind: 'small', symbol: 'check',
      onclick: () => attempt(() => call('AcknowledgeAlarm', { Alarm: a.Alarm, Subject: a.Subject })).then(refresh) })));
}

export default {
  mount(view) {
    let alarms = { Alarms: [], History: [] };
    render(view, loading('the alarms'));
    const draw = () => {
      if (!live.status) return;
      const said = new Set(alarms.Alarms.map((a) => a.Subject));
      const now = standing(live.status).filter(([, title]) => !said.has(title.split(' ').pop()));
      render(view,
        !now.length && !alarms.Alarms.length ? empty('check', 'Nothing needs you', 'No alarm is active, no tape and no drive has a problem.')
          : h('ul', { class: 'panel lines alarms' }, alarms.Alarms.map((a) => line(a, () => asking?.refresh())),
            now.map(([kind, title, text, where]) => h('li', { 'data-key': `s-${title}` }, h('span', { class: `sign ${kind}` }, icon('warn')),
              h('div', { class: 'grow' }, h('b', null, where ? h('a', { href: where }, title) : title), h('p', null, text))))),
        alarms.History?.length > 0 && panel('Cleared', { key: 'past' }, h('ul', { class: 'lines' }, alarms.History.slice(0, 50).map((a) => line(a)))));
    };
    const off = live.on(draw);
    const asking = knows('ListAlarms') ? poll((s) => call('ListAlarms', { History: true }, s), 5000, (a) => { alarms = a; draw(); }) : null;
    draw();
    return { destroy: () => { off(); asking?.stop(); } };
  },
};
