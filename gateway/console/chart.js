// Lines over time, drawn as SVG. One chart: some series of the same unit, a legend with the values
// of now (or under the pointer), and limits as dashed lines.
import { h, render, svg } from './dom.js';
import { clock } from './format.js';

const LEFT = 64;
const BOTTOM = 20;
const TOP = 8;
const LOWEST_TOP = 1024; // bytes: below that the marks of the axis would say the same

// 1, 2, 4, 5, ... times a power of 1024; `value` is above zero.
function niceMax(value) {
  const base = 1024 ** Math.floor(Math.log(value) / Math.log(1024));
  for (const step of [1, 2, 4, 5, 8, 10, 20, 40, 50, 80, 100, 200, 400, 500, 800, 1024]) {
    if (step * base >= value) return step * base;
  }
  return value;
}

export class LineChart {
  // series: [{ name, tone }], tone: a class of console.css ("tone-1" ...)
  constructor({ title, series, format, limits, most, height = 168 }) {
    Object.assign(this, { title, series, format, limits, most, height });
    this.data = [];
    this.at = null;
    this.legend = h('ul', { class: 'legend' });
    this.plot = svg('svg', { class: 'plot', role: 'img' });
    this.frame = h('div', { class: 'frame' }, this.plot);
    this.root = h('figure', { class: 'chart', 'data-own': true, 'data-key': title },
      h('figcaption', null, h('h3', null, title), this.legend), this.frame);
    this.frame.onpointermove = (e) => this.hover(e);
    this.frame.onpointerleave = () => { this.at = null; this.draw(); };
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.frame);
  }

  destroy() {
    this.watch.disconnect();
  }

  // points: [[ms, v1, v2, ...]] in order of time; span: ms shown, up to the newest or `now`
  set(points, span, now) {
    this.data = points;
    this.span = span;
    this.end = Math.max(now || 0, points.length ? points[points.length - 1][0] : 0) || Date.now();
    this.draw();
  }

  hover(e) {
    const box = this.frame.getBoundingClientRect();
    const share = (e.clientX - box.left - LEFT) / Math.max(1, box.width - LEFT - 4);
    const time = this.end - this.span + share * this.span;
    let best = null;
    for (const p of this.data) {
      if (best === null || Math.abs(p[0] - time) < Math.abs(best[0] - time)) best = p;
    }
    this.at = best;
    this.draw();
  }

  draw() {
    if (!this.span) return;
    const width = Math.max(240, this.frame.clientWidth);
    const { height } = this;
    const from = this.end - this.span;
    const shown = this.data.filter((p) => p[0] >= from);
    const limits = (this.limits?.() || []).filter((l) => l.value > 0);
    const highest = Math.max(0, this.most?.() || 0,
      ...shown.flatMap((p) => p.slice(1).filter((v) => v !== null)));
    const top = niceMax(Math.max(highest, LOWEST_TOP));
    const x = (t) => LEFT + ((t - from) / this.span) * (width - LEFT - 4);
    const y = (v) => TOP + (1 - v / top) * (height - TOP - BOTTOM);
    const parts = [];
    for (let i = 0; i <= 4; i += 1) {
      const v = (top * i) / 4;
      parts.push(svg('line', { class: 'grid', x1: LEFT, x2: width - 4, y1: y(v), y2: y(v) }));
      if (i % 2 === 0) {
        parts.push(svg('text', { class: 'axis', x: LEFT - 8, y: y(v) + 4, 'text-anchor': 'end' }, this.format(v)));
      }
    }
    for (let i = 0; i <= 4; i += width < 460 ? 2 : 1) {
      const t = from + (this.span * i) / 4;
      parts.push(svg('text', {
        class: 'axis', x: x(t), y: height - 4, 'text-anchor': i === 0 ? 'start' : i === 4 ? 'end' : 'middle',
      }, clock(t).slice(0, this.span > 3600e3 ? 5 : 8)));
    }
    for (const l of limits) {
      if (l.value > top) continue;
      parts.push(svg('line', { class: `limit ${l.tone || ''}`, x1: LEFT, x2: width - 4, y1: y(l.value), y2: y(l.value) }),
        svg('text', { class: 'axis limit', x: width - 6, y: y(l.value) + (y(l.value) < TOP + 12 ? 12 : -4), 'text-anchor': 'end' }, l.name));
    }
    this.series.forEach((s, n) => this.lines(shown, n + 1).forEach((run) => {
      const d = run.map((p, i) => `${i ? 'L' : 'M'}${x(p[0]).toFixed(1)} ${y(p[n + 1]).toFixed(1)}`).join('');
      if (n === 0 || s.filled) {
        parts.push(svg('path', { class: `area ${s.tone}`, d: `${d}L${x(run.at(-1)[0]).toFixed(1)} ${y(0)}L${x(run[0][0]).toFixed(1)} ${y(0)}Z` }));
      }
      parts.push(svg('path', { class: `line ${s.tone}`, d }));
    }));
    const read = this.at && this.at[0] >= from ? this.at : null;
    if (read) {
      parts.push(svg('line', { class: 'cursor', x1: x(read[0]), x2: x(read[0]), y1: TOP, y2: height - BOTTOM }));
      this.series.forEach((s, n) => read[n + 1] !== null && parts.push(
        svg('circle', { class: `dot ${s.tone}`, cx: x(read[0]), cy: y(read[n + 1]), r: 3 })));
    }
    if (!shown.length) {
      parts.push(svg('text', { class: 'axis', x: width / 2, y: height / 2, 'text-anchor': 'middle' }, 'Measuring …'));
    }
    this.plot.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.plot.setAttribute('height', height);
    const last = read || shown.at(-1);
    const say = this.series.map((s, n) => `${s.name} ${last ? this.format(last[n + 1] ?? 0) : 'unknown'}`).join(', ');
    this.plot.setAttribute('aria-label', `${this.title}: ${say}`);
    render(this.plot, parts);
    render(this.legend, read && h('li', { class: 'at' }, clock(read[0])),
      this.series.map((s, n) => h('li', null, h('i', { class: `key ${s.tone}` }), h('span', null, s.name),
        h('b', null, last ? this.format(last[n + 1] ?? 0) : '–'))));
  }

  // Runs without gaps: a null value ends one.
  lines(points, n) {
    const runs = [[]];
    for (const p of points) {
      if (p[n] === null || p[n] === undefined) runs.push([]);
      else runs.at(-1).push(p);
    }
    return runs.filter((r) => r.length > 0);
  }
}

// A small line without axes, for a drive or a job.
export function spark(numbers, tone = 'tone-1') {
  const w = 96;
  const high = 24;
  const most = Math.max(1, ...numbers);
  const d = numbers.map((v, i) =>
    `${i ? 'L' : 'M'}${((i / Math.max(1, numbers.length - 1)) * w).toFixed(1)} ${(high - 2 - (v / most) * (high - 4)).toFixed(1)}`).join('');
  return svg('svg', { class: 'spark', viewBox: `0 0 ${w} ${high}`, 'aria-hidden': 'true', preserveAspectRatio: 'none' },
    numbers.length > 1 && svg('path', { class: `line ${tone}`, d }));
}
