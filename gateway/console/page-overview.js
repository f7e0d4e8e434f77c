// How the gateway is doing, at one glance: throughput, cache, buffer, drives, jobs, problems.
import { h, render } from './dom.js';
import { call, poll } from './api.js';
import { live } from './live.js';
import { LineChart } from './chart.js';
import { doing } from './library-drive.js';
import { empty, facts, jobPill, jobProgress, loading, meter, panel } from './ui.js';
import { ago, bytes, count, percent, plural, rate, when } from './format.js';

const SPANS = [['10 min', 600e3, 'fine'], ['1 hour', 3600e3, 'fine'], ['24 hours', 86400e3, 'coarse']];

class Overview {
  constructor(view) {
    this.view = view;
    [, this.span, this.resolution] = SPANS[0];
    const status = () => live.status || {};
    this.charts = [
      [new LineChart({ title: 'Initiators', format: rate, series: [
        { name: 'Written', tone: 'tone-1' }, { name: 'Read', tone: 'tone-2' }] }),
      { rates: ['InitiatorWrittenBytes', 'InitiatorReadBytes'] }],
      [new LineChart({ title: 'Object store', format: rate, series: [
        { name: 'Up', tone: 'tone-1' }, { name: 'Down', tone: 'tone-2' }],
      limits: () => [{ name: 'upload limit', value: status().UploadLimitBytesPerSecond }] }),
      { rates: ['UploadedBytes', 'DownloadedBytes'] }],
      [new LineChart({ title: 'Cache', format: (v) => bytes(v), series: [
        { name: 'Local', tone: 'tone-1' }, { name: 'Not uploaded yet', tone: 'tone-3', filled: true }],
      limits: () => [{ name: 'limit', value: status().CacheLimitBytes }] }),
      { levels: ['CacheBytes', 'NotUploadedBytes'] }],
      [new LineChart({ title: 'Upload buffer', format: (v) => bytes(v), series: [{ name: 'Waiting', tone: 'tone-3' }],
        limits: () => {
          const whole = status().BufferLimitBytes;
          return whole ? [{ name: 'slowed from here', value: whole * 0.7, tone: 'warn' }, { name: 'full', value: whole }] : [];
        } }),
      { levels: ['BufferBytes'] }],
    ];
    this.tiles = h('div', { class: 'tiles' });
    this.spans = h('div', { class: 'segmented', role: 'group', 'aria-label': 'Time shown' });
    this.sides = h('div', { class: 'columns' });
    render(view, loading('the gateway’s status'));
    this.off = live.on(() => this.draw());
    this.jobs = [];
    this.poll = poll((s) => call('ListJobs', { Limit: 50 }, s), 3000, (a) => {
      this.jobs = a.Jobs;
      this.draw();
    });
    this.draw();
  }

  destroy() {
    this.off();
    this.poll.stop();
    this.charts.forEach(([c]) => c.destroy());
  }

  draw() {
    const s = live.status;
    if (!s) return;
    if (!this.ready) {
      this.ready = true;
      this.view.replaceChildren(this.tiles,
        h('section', { class: 'panel' }, h('header', null, h('h2', null, 'Live'), this.spans),
          h('div', { class: 'charts' }, this.charts.map(([c]) => c.root))), this.sides);
    }
    this.drawTiles(s);
    render(this.spans, SPANS.map(([text, span, resolution]) => h('button', {
      type: 'button', 'aria-pressed': String(this.span === span),
      onclick: () => { this.span = span; this.resolution = resolution; this.draw(); },
    }, text)));
    for (const [chart, what] of this.charts) chart.set(live.points(this.resolution, what), this.span);
    this.drawSides(s);
  }

  drawTiles(s) {
    const now = (what) => live.points('fine', { rates: [what] }).at(-1)?.[1] ?? 0;
    const tile = (title, value, note, part) => h('div', { class: 'tile' }, h('span', null, title),
      h('b', null, value), h('small', null, note), part);
    const tapes = Object.values(s.Tapes || {}).reduce((a, b) => a + b, 0);
    render(this.tiles,
      tile('Written by initiators', rate(now('InitiatorWrittenBytes')), `${rate(now('InitiatorReadBytes'))} read`),
      tile('To the store', rate(now('UploadedBytes')), s.NotUploadedBytes ? `${bytes(s.NotUploadedBytes)} still to go` : 'everything is there'),
      tile('Cache', bytes(s.CacheBytes), s.CacheLimitBytes ? `${percent(s.CacheBytes, s.CacheLimitBytes)} of ${bytes(s.CacheLimitBytes)}` : 'no limit',
        s.CacheLimitBytes > 0 && meter(s.CacheBytes, s.CacheLimitBytes, 'Cache in use')),
      tile('Upload buffer', bytes(s.BufferBytes), s.BufferLimitBytes ? `${percent(s.BufferBytes, s.BufferLimitBytes)} of ${bytes(s.BufferLimitBytes)}` : 'no limit',
        s.BufferLimitBytes > 0 && meter(s.BufferBytes, s.BufferLimitBytes, 'Upload buffer in use', s.WritersSlowed ? 'warn' : '')),
      tile('Drives', `${s.DrivesLoaded} of ${s.Drives}`, 'loaded'),
      tile('Tapes', count(tapes), `${count(s.Tapes?.ARCHIVED || 0)} archived`));
  }

  // Alarms first; those of tapes say what the tapes' problems say.
  drawProblems(s) {
    const lines = [
      ...(s.Alarms || []).filter((a) => a.Alarm !== 'tape_problem')
        .map((a) => [a.Subject || a.Alarm.replaceAll('_', ' '), '#/alarms', a.Detail]),
      ...(s.Problems || []).map((p) => [p.Barcode, `#/tapes/${p.Barcode}`, p.Problem]),
    ];
    if (!lines.length) return empty('check', 'All is well', 'No alarm is on, no tape has a problem.');
    return h('ul', { class: 'lines' }, lines.slice(0, 6).map(([what, href, why]) => h('li', { class: 'job' },
      h('a', { class: 'mono', href }, what), h('span', { class: 'problem' }, why))));
  }

  drawSides(s) {
    const open = this.jobs.filter((j) => ['queued', 'running', 'waiting'].includes(String(j.State).toLowerCase()));
    const shown = open.length ? open : this.jobs.slice(0, 5);
    render(this.sides,
      panel('Drives', { key: 'drives', tools: h('a', { href: '#/library' }, 'Library') },
        h('ul', { class: 'lines' }, live.drives.slice(0, 16).map((d) => {
          const [text, tone] = doing(d);
          return h('li', { 'data-key': d.Number }, h('i', { class: `led ${tone}` }), h('b', null, `Drive ${d.Number}`),
            h('span', { class: 'mono grow' }, d.Barcode ? h('a', { href: `#/tapes/${d.Barcode}` }, d.Barcode) : ''),
            h('span', { class: 'muted' }, text));
        }))),
      panel(open.length ? 'Jobs under way' : 'Last jobs', { key: 'jobs', tools: h('a', { href: '#/jobs' }, 'All jobs') },
        shown.length ? h('ul', { class: 'lines' }, shown.map((j) => h('li', { 'data-key': j.JobId, class: 'job' },
          h('b', null, j.Kind.replaceAll('_', ' ')), h('span', { class: 'mono grow' }, j.Barcode || j.Name),
          open.length ? jobProgress(j) : [jobPill(j.State), h('span', { class: 'muted' }, ago(j.Updated))])))
          : h('p', { class: 'muted pad' }, 'Archiving, retrieving, verifying and the like are listed here.')),
      panel('Problems', { key: 'problems', tools: h('a', { href: '#/alarms' }, 'Alarms') },
        this.drawProblems(s)),
      panel('Gateway', { key: 'gateway' }, facts(
        ['Id', h('span', { class: 'mono' }, s.GatewayId)], ['Up since', `${when(s.Started)} (${ago(s.Started)})`],
        ['Store', h('span', { class: 'mono wrap' }, s.Store)], ['Encrypted', s.Encrypted ? 'yes' : 'no'],
        ['iSCSI', h('span', { class: 'mono wrap' }, (s.Endpoints || []).join(', ') || '–')],
        ['Sessions', plural(s.Sessions, 'session')],
        ['Transfers at once', `${s.UploadsAtOnce} up, ${s.DownloadsAtOnce} down`],
        (s.UploadErrors || s.DownloadErrors) > 0 && ['Errors since start', `${count(s.UploadErrors)} up, ${count(s.DownloadErrors)} down`],
        s.Sharing?.Problem && ['Sharing', s.Sharing.Problem])));
  }
}

export default { mount: (view) => new Overview(view) };
