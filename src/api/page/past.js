
// The timeline: what has happened, the latest first, each with its evidence.
const THEN = { reset: 'then reset', new_login: 'then mended', time: '', release: 'then released', pin: 'then another', resume: 'then resumed', unknown: 'its end is not on record' };
const OUTCOME_TONES = {
  done: 'good', proven: 'good', resumed: 'good', open: 'info', staying: 'info', rolled_back: 'warn', held: 'warn', blocked: 'warn',
  refused: 'warn', stuck: 'bad', failed: 'bad',
};
const tone = (outcome) => OUTCOME_TONES[outcome] ?? 'rest';

/** Why a swap was planned. */
function trigger(it, swap) {
  switch (it?.kind) {
    case 'refusal': return quote(it.row, `${words(it.evidence)} of ${it.session}`);
    case 'account_returned': return `${swap.to} came back`;
    case 'operator': return 'by the operator';
    case 'login_failed': return quote(it.reason, 'the login failed');
    case 'set_aside': return `${swap.from} was set aside`;
    case 'preempt': return `${windowName(it.window)} window used to ${(Number(it.used_permille) / 10).toFixed(1)} %`;
    case 'preferred': return `${swap.to} is preferred`;
    default: return words(it?.kind);
  }
}

/** `null` while it goes on. */
function lasted(it) {
  if (!it.ended_by) return null;
  const then = THEN[it.ended_by] ?? words(it.ended_by);
  return it.took_ms == null ? then : [`for ${took(it.took_ms)}`, then].filter(Boolean).join(', ');
}

function proof(it) {
  const after = it.proof_after_ms == null ? '' : ` after ${took(it.proof_after_ms)}`;
  switch (it.proof) {
    case 'open': return 'no answer has proven it yet';
    case 'proven': return `proven${after} by ${it.proof_session ?? 'a request'}`;
    case 'not_needed': return null;
    default: return `${words(it.proof)}${after}`;
  }
}

const COUNTS = ['resumed', 'blocked', 'failed', 'held', 'staying', 'dropped', 'open', 'unknown'];
function swapTold(it) {
  const counts = COUNTS.filter((key) => it.sessions?.[key] > 0).map((key) => `${it.sessions[key]} ${key === 'staying' ? 'left to finish' : key}`);
  const stuck = list(it.stuck).at(-1);
  return {
    tone: tone(it.outcome),
    head: it.from === it.to ? `Woke on ${it.to}` : `${it.from} → ${it.to}`,
    facts: [`swap ${it.op} ${words(it.outcome)}`, it.took_ms != null && `in ${took(it.took_ms)}`, ...counts,
      it.restarts > 0 && `${plural(it.restarts, 'restart', 'restarts')} meanwhile`],
    more: [trigger(it.trigger, it), stuck && quote(stuck.reason, 'stuck'), it.trouble && quote(it.trouble, 'turned back'),
      ...list(it.failed_targets).map((failed) => quote(failed.reason, `${failed.account} failed`)),
      ...list(it.moves).filter((moved) => moved.reason).slice(0, 5).map((moved) => quote(moved.reason, `${moved.session} ${words(moved.outcome)}`))],
  };
}

/** Tone, headline, short facts, and what more there is: evidence. */
function entryTold(it) {
  switch (it.kind) {
    case 'swap': return swapTold(it);
    case 'canary': return { tone: tone(it.outcome), head: `${it.session} tries ${it.account}`, facts: [words(it.outcome), it.took_ms != null && took(it.took_ms)], more: [it.reason && quote(it.reason)] };
    case 'restore': return { tone: tone(it.outcome), head: `${it.session} ${it.cut ? 'moved alone' : 'came back'} on ${it.account}`, facts: [words(it.outcome), it.took_ms != null && took(it.took_ms)], more: [it.reason && quote(it.reason)] };
    case 'refusal': return {
      tone: it.ended_by ? 'rest' : 'warn', head: `${it.account} refused: ${windowName(it.window)} limit`,
      facts: lasted(it) ? [lasted(it)] : ['until ', moment(it.until, 'back'), it.printed ? '' : ', a guess'],
      more: [quote(it.row, `${words(it.evidence)} of ${it.session ?? 'a request'}${it.repeats > 0 ? `, said ${it.repeats + 1} times` : ''}`)],
    };
    case 'reset': return { tone: 'good', head: `${it.account}: ${windowName(it.window)} limit reset`, facts: [proof(it)] };
    case 'proof': return { tone: 'good', head: `${it.account} answers`, facts: [`proven by ${it.session ?? 'a request'}`] };
    case 'login': return { tone: it.ended_by ? 'rest' : 'bad', head: `Login of ${it.account} fails`, facts: [lasted(it), it.ended_by === 'new_login' && proof(it)], more: [quote(it.reason)] };
    case 'rejection': return { tone: it.ended_by ? 'rest' : 'warn', head: `Home of ${it.account} failed its check`, facts: [lasted(it)], more: [quote(it.reason)] };
    case 'parking': return {
      tone: it.took_ms == null ? 'warn' : 'rest', head: it.took_ms == null ? 'Parked' : `Parked for ${took(it.took_ms)}`,
      facts: it.took_ms == null ? (it.until ? ['until ', moment(it.until, 'back')] : ['until somebody mends an account']) : [it.woken_by != null && `woken by swap ${it.woken_by}`],
      more: list(it.reasons).map((reason) => quote(reason.reason, reason.account)),
    };
    case 'hold': return { tone: 'rest', head: `${it.account} held by the operator`, facts: [lasted(it)] };
    case 'pin': return { tone: 'rest', head: `${it.account} pinned by the operator`, facts: [lasted(it)] };
    case 'release': return { tone: 'info', head: `${it.account} released by the operator`, facts: [list(it.ended).map(words).join(', '), proof(it)] };
    case 'pause': return {
      tone: it.ended_by ? 'rest' : 'warn', head: 'Paused by the operator',
      facts: lasted(it) ? [lasted(it)] : [it.until && ['until ', moment(it.until, 'back')]].flat().filter(Boolean),
    };
    case 'drain': return { tone: 'rest', head: 'Drained by the operator', facts: [list(it.sessions).join(', ')] };
    case 'resume': return { tone: 'info', head: 'Take tasks again', facts: [list(it.sessions).join(', ')] };
    case 'link': return { tone: 'info', head: `The link was found on ${it.account}` };
    case 'start': return { tone: it.unclean ? 'warn' : 'rest', head: 'Daemon started', facts: [it.version, it.unclean && 'not stopped cleanly before'] };
    case 'stop': return { tone: 'rest', head: 'Daemon stopped' };
    default: return { tone: 'rest', head: words(it.kind) };
  }
}

function entry(it) {
  const { tone: colour, head, facts = [], more = [] } = entryTold(it);
  const said = facts.filter(Boolean);
  const joined = said.some((fact) => fact instanceof Node) ? said : [said.join(' · ')];
  return h('li', 'line', h('span', `dot ${colour}`), h('div', '', h('span', 'when', moment(it.at, 'ago')), h('span', 'name', head),
    said.length > 0 && h('p', 'small soft', ...joined), ...more.filter(Boolean).map((part) => (part instanceof Node ? part : h('p', 'small soft', part)))));
}

/** Entries by what makes them one; an entry that is told again replaces itself. */
const known = new Map();
const keyOf = (it) => JSON.stringify([it.seq, it.kind, it.account, it.op, it.window, it.session]);

function paintTimeline(more, wanted, ask) {
  const entries = [...known.values()].sort((a, b) => b.seq - a.seq).slice(0, wanted);
  const focused = document.activeElement?.id === 'earlier';
  const button = h('button', '', 'Show earlier');
  button.id = 'earlier';
  button.type = 'button';
  button.addEventListener('click', ask);
  $('timeline').replaceChildren(entries.length ? h('ol', 'rows', entries.map(entry)) : h('p', 'none', 'Nothing has happened yet.'),
    more ? button : '');
  if (focused && more) button.focus();
}
