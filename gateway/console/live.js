// What is going on, shared by every page: the gateway's status, its drives, and the samples it
// keeps (DescribeHistory), so that a chart begins with the past.
import { call, poll } from './api.js';

const EVERY_MS = 2000;
const KEEP = 1900;

class Live {
  constructor() {
    this.listeners = new Set();
    this.reset();
  }

  reset() {
    this.status = null;
    this.drives = [];
    this.problem = null;
    this.samples = { fine: [], coarse: [] };
    this.fields = [];
    this.rates = new Map();  // drive number -> [[written/s, read/s], ...], newest last
    this.before = new Map();
  }

  on(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  start() {
    this.stop();
    this.polls = [
      poll((signal) => this.ask(signal), EVERY_MS, () => this.tell(), (problem) => {
        this.problem = problem;
        this.tell();
      }),
      poll((signal) => this.history('coarse', signal), 60000, () => this.tell()),
    ];
  }

  stop() {
    (this.polls || []).forEach((p) => p.stop());
    this.polls = [];
    this.reset();
  }

  refresh() {
    this.polls?.[0]?.refresh();
  }

  async ask(signal) {
    const [status, drives] = await Promise.all([
      call('GatewayStatus', {}, signal), call('ListDrives', {}, signal),
      this.history('fine', signal)]);
    this.status = status;
    this.drives = drives.Drives;
    this.measure(Date.now());
    this.problem = null;
  }

  async history(resolution, signal) {
    const have = this.samples[resolution];
    const answer = await call('DescribeHistory', {
      Resolution: resolution, After: have.length ? have.at(-1)[0] : 0,
    }, signal);
    this.fields = answer.Fields;
    // The gateway was started again: its counters begin anew, which points() sees.
    have.push(...answer.Samples);
    if (have.length > KEEP) have.splice(0, have.length - KEEP);
  }

  measure(now) {
    for (const d of this.drives) {
      const was = this.before.get(d.Number);
      this.before.set(d.Number, { now, written: d.WrittenBytes, read: d.ReadBytes });
      if (!was || now <= was.now) continue;
      const s = (now - was.now) / 1000;
      const list = this.rates.get(d.Number) || [];
      list.push([Math.max(0, d.WrittenBytes - was.written) / s, Math.max(0, d.ReadBytes - was.read) / s]);
      if (list.length > 60) list.shift();
      this.rates.set(d.Number, list);
    }
  }

  rate(drive) {
    return this.rates.get(drive)?.at(-1) || [0, 0];
  }

  // [[ms, ...]] for a chart: `rates` as bytes per second, `levels` as they are.
  points(resolution, { rates = [], levels = [] }) {
    const at = (name) => this.fields.indexOf(name);
    const counted = rates.map(at);
    const level = levels.map(at);
    const list = this.samples[resolution];
    const out = [];
    for (let i = 0; i < list.length; i += 1) {
      const s = list[i];
      const before = list[i - 1];
      if (counted.length && !before) continue;
      const seconds = before ? (s[0] - before[0]) / 1000 : 1;
      out.push([s[0],
        ...counted.map((f) => (f < 0 || s[f] < before[f] ? null : (s[f] - before[f]) / seconds)),
        ...level.map((f) => (f < 0 ? null : s[f]))]);
    }
    return out;
  }

  tell() {
    for (const f of this.listeners) {
      try {
        f(this);
      } catch (wrong) {
        console.error(wrong);  // of a page, not of the gateway
      }
    }
  }
}

export const live = new Live();
