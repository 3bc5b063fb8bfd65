
// What is shown comes from screens, task files and configurations of anybody: it becomes text and
// nothing else. There is one way to the document, and it makes text nodes.
const $ = (id) => document.getElementById(id);

/** An element: `h('p', 'soft', 'words', otherElement)`. Whatever is no element becomes text. */
function h(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false || child === '') continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Milliseconds by which the daemon's clock is ahead of this one; small differences are none. */
let skewMs = 0;
const now = () => Date.now() + skewMs;
const parse = (iso) => (typeof iso === 'string' ? Date.parse(iso) : NaN);

/** `4 s`, `95 s`, `13 min`, `2 h 13 min`, `3 d 4 h`. */
function length(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(s / 60);
  const hours = Math.floor(s / 3600);
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${minutes} min`;
  if (s < 172800) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Of something that has an end: with tenths below ten seconds. */
const took = (ms) => (ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : length(ms));

/** On the clock of whoever looks, with the day when it is another one. */
function clock(at) {
  const day = new Date(at).toDateString() === new Date(now()).toDateString();
  const time = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  const form = day ? time : { weekday: 'short', day: 'numeric', month: 'short', ...time };
  return new Date(at).toLocaleString([], form);
}

const whole = (at) => new Date(at).toLocaleString([], { dateStyle: 'full', timeStyle: 'long', hourCycle: 'h23' });

/** What an element of `form` says at this moment. */
function told(form, at) {
  const left = at - now();
  switch (form) {
    case 'ago': return left > -1000 ? 'now' : `${length(-left)} ago`;
    case 'for': return length(-left);
    case 'in': return left < 0 ? 'due' : `in ${length(left)}`;
    case 'back': return `${clock(at)} (${left < 0 ? 'due' : `in ${length(left)}`})`;
    default: return clock(at);
  }
}

/** A moment that keeps itself up to date; the whole of it when pointed at. */
function moment(iso, form) {
  const at = parse(iso);
  if (Number.isNaN(at)) return document.createTextNode(iso ? String(iso) : 'an unknown moment');
  const element = h('time', '', told(form, at));
  element.dateTime = String(iso);
  element.title = whole(at);
  element.dataset.form = form;
  return element;
}

function tick() {
  for (const element of document.querySelectorAll('time[data-form]')) {
    const text = told(element.dataset.form, Date.parse(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  }
}

const list = (value) => (Array.isArray(value) ? value : []);
const words = (word) => String(word ?? '').replaceAll('_', ' ');
const WINDOWS = { five_hour: '5-hour', weekly: 'weekly', unnamed: 'unnamed', spend: 'spend' };
const windowName = (name) => WINDOWS[name] ?? words(name);
const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

/** Text of somebody else's, as such. */
const quote = (row, ...behind) => h('blockquote', '', h('span', 'row', `“${row}”`), behind.length ? ' · ' : '', ...behind);
