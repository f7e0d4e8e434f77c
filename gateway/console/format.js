// Numbers and times for people. Sizes are binary, as everywhere in coldshelf.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(value, digits) {
  if (value === undefined || value === null) return '–';
  let unit = 0;
  let n = Math.abs(value);
  while (n >= 1023.5 && unit < UNITS.length - 1) {
    n /= 1024;
    unit += 1;
  }
  const places = digits ?? (unit === 0 || n >= 100 ? 0 : n >= 10 ? 1 : 2);
  const text = unit === 0 ? String(Math.round(n)) : n.toFixed(places).replace(/\.0+$/, '');
  return `${value < 0 ? '-' : ''}${text} ${UNITS[unit]}`;
}

export const rate = (value) => `${bytes(value)}/s`;

// "1.5 TiB", "800GB", "4096" -> bytes; NaN when it is none.
export function parseBytes(text) {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?\s*$/i.exec(text || '');
  if (!found) return NaN;
  const power = ' kmgtp'.indexOf(found[2].toLowerCase() || ' ');
  const base = found[3] || found[2] === '' ? 1024 : 1000;
  return Math.round(Number(found[1]) * base ** power);
}

export function count(value) {
  return value === undefined || value === null ? '–' : Number(value).toLocaleString('en-US');
}

export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many || `${one}s`}`;

export function percent(part, whole) {
  if (!whole) return '–';
  const p = (100 * part) / whole;
  return `${p > 0 && p < 10 ? p.toFixed(1) : Math.round(p)} %`;
}

// Storage prices are small: as many digits as say something.
export function money(value, currency) {
  if (value === undefined || value === null) return '–';
  const digits = value === 0 ? 2 : value < 0.01 ? 5 : value < 1 ? 3 : 2;
  return `${value.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: digits })} ${currency || ''}`.trim();
}

export function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ''}`;
  if (s < 48 * 3600) {
    const m = Math.floor((s % 3600) / 60);
    return `${Math.floor(s / 3600)} h${m ? ` ${m} min` : ''}`;
  }
  return `${Math.floor(s / 86400)} days`;
}

export const hours = (value) => (value === undefined ? '–' : duration(value * 3600e3));

export function when(text) {
  if (!text) return '–';
  const at = typeof text === 'number' ? new Date(text) : new Date(text);
  if (Number.isNaN(at.getTime())) return String(text);
  const two = (n) => String(n).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

export function ago(text) {
  const ms = Date.now() - new Date(text).getTime();
  if (Number.isNaN(ms)) return '–';
  if (ms < -5000) return `in ${duration(-ms)}`;
  if (ms < 5000) return 'just now';
  return `${duration(ms)} ago`;
}

export function clock(ms) {
  const at = new Date(ms);
  const two = (n) => String(n).padStart(2, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
