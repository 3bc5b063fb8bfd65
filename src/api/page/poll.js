
// The loop: ask while somebody looks, say so when nobody answers.
const EVERY_MS = 2000;
const SLOWEST_MS = 30000;
const ANSWER_MS = 5000;
const STALE_MS = 300000;
const ENTRIES_STEP = 50;
const ENTRIES_MAX = 500;

let status = null;
let life = null;
let lastSeq = 0;
let wanted = ENTRIES_STEP;
let more = false;
let failures = 0;
let goneSince = null;
let answeredAt = Date.now();
let timer = 0;
let asking = false;

async function ask(path) {
  const answer = await fetch(path, { cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(ANSWER_MS) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  const date = Date.parse(answer.headers.get('Date') ?? '');
  const ahead = date + 500 - Date.now();
  skewMs = Math.abs(ahead) > 2000 ? ahead : 0;
  return answer.json();
}

/** What is known is of no use: another life of the daemon, another journal, or too much of it. */
function forget() {
  known.clear();
  lastSeq = 0;
}

function take(events, since) {
  for (const it of list(events.entries)) known.set(keyOf(it), it);
  lastSeq = events.last_seq;
  if (since === 0) more = events.more && wanted < ENTRIES_MAX;
}

async function look() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    const next = await ask('status');
    if (known.size > 2 * ENTRIES_MAX) forget();
    if (life !== null && life !== next.daemon?.started_at) forget();
    life = next.daemon?.started_at ?? null;
    let since = lastSeq;
    let events = await ask(`events?limit=${since === 0 ? wanted : ENTRIES_MAX}&since=${since}`);
    if (events.last_seq < since || (since > 0 && events.more)) {
      forget();
      since = 0;
      events = await ask(`events?limit=${wanted}`);
    }
    take(events, since);
    status = next;
    answeredAt = Date.now();
    failures = 0;
    goneSince = null;
  } catch (error) {
    failures += 1;
    goneSince ??= answeredAt;
  } finally {
    asking = false;
  }
  paint();
  if (document.visibilityState === 'visible') {
    timer = setTimeout(look, Math.min(SLOWEST_MS, EVERY_MS * 2 ** failures / (failures ? 2 : 1)));
  }
}

function gone() {
  const since = new Date(goneSince + skewMs).toISOString();
  return {
    title: 'The daemon does not answer',
    then: [status ? 'What is shown below is from then. ' : '', 'This page tries again by itself. On the host: ',
      h('code', '', 'claude-failover doctor')],
    clock: ['Since ', moment(since, 'clock'), ' (', moment(since, 'ago'), ')'],
  };
}

/** Where all is well the daemon looks around, and says so, more often than this. */
const isOld = () => status?.state === 'normal' && now() - parse(status.at) > STALE_MS;
const old = () => ({
  title: 'The daemon answers, but its state is old: does it hang?',
  then: ['On the host: ', h('code', '', 'claude-failover doctor')],
  clock: ['Its state is of ', moment(status.at, 'clock'), ' (', moment(status.at, 'ago'), ')'],
});

/** What was painted last, by place: nothing is painted twice, so that focus and selections stay. */
const painted = new Map();
function paintIf(place, data, how) {
  const key = JSON.stringify(data);
  if (painted.get(place) === key) return;
  painted.set(place, key);
  how();
}

function paint() {
  const isGone = goneSince !== null;
  document.body.classList.toggle('gone', isGone);
  if (status === null && !isGone) return;
  const shown = status ?? { state: 'gone', reasons: [] };
  const { state, ok, reasons, until, swap } = shown;
  const notice = isGone ? gone : isOld() ? old : () => null;
  paintIf('banner', [isGone && goneSince, isOld(), state, ok, reasons, until, swap?.open], () => paintBanner(shown, notice()));
  paintIf('headline', [isGone, state, ok, shown.active_account, swap?.last?.done_at], () => paintHeadline(shown, isGone));
  if (status === null) return;
  document.body.classList.remove('blank');
  // The age of a figure changes with every look; minutes are enough.
  const accounts = list(status.accounts).map((it) => [it, it.used && Math.round(it.used.age_s / 60)]);
  paintIf('accounts', [JSON.stringify(accounts).replace(/"age_s":\d+/g, ''), status.plan?.target], () => paintAccounts(status));
  paintIf('sessions', [status.sessions, status.tasks?.in_hand, status.hits], () => paintSessions(status));
  paintIf('channels', [status.notifications], () => paintChannels(status));
  paintIf('tasks', [status.tasks], () => paintTasks(status));
  paintIf('timeline', [lastSeq, life, wanted, more], () => paintTimeline(more, wanted, showEarlier));
  paintIf('foot', [life, Math.floor(parse(status.at) / 10000)], paintFoot);
}

function paintFoot() {
  const { daemon } = status;
  $('foot').replaceChildren(`Daemon ${daemon?.version ?? '?'}, pid ${daemon?.pid ?? '?'}, started `, moment(daemon?.started_at, 'ago'),
    '. State of ', moment(status.at, 'ago'), '.');
}

function showEarlier() {
  wanted = Math.min(ENTRIES_MAX, wanted + 2 * ENTRIES_STEP);
  forget();
  look();
}

document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') look();
  else clearTimeout(timer);
});
window.addEventListener('online', look);
setInterval(tick, 1000);
look();
