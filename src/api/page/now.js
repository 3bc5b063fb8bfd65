
// The state as it is: headline, banner, accounts, sessions, tasks.
const TONES = {
  normal: 'good', starting: 'info', swapping: 'info', parked: 'warn', throttled: 'warn', paused: 'warn',
  draining: 'warn', degraded: 'warn', stuck: 'bad', gone: 'bad',
};
const toneOf = (status) => (status.ok === false ? 'bad' : TONES[status.state] ?? 'warn');
const ACCOUNT_TONES = {
  available: 'good', unproven: 'info', exhausted: 'warn', rejected: 'warn', auth_failed: 'bad', held: 'rest',
};

/** Why it is not simply well, and what comes next: `null` when there is nothing to say. */
function banner(status) {
  const until = status.until;
  const open = status.swap?.open;
  switch (status.state) {
    case 'normal': return null;
    case 'stuck': return {
      title: 'Stuck: a person is needed',
      then: ['Mend what is named here, then run ', h('code', '', 'claude-failover swap --resume'), ' (forward again), ',
        h('code', '', '--rollback'), ' (back again) or ', h('code', '', '--clear'), ' (it is right as it is now).'],
    };
    case 'parked': return {
      title: 'Parked: no account can be taken',
      then: [until ? 'Nothing is typed, ended or dispatched until one comes back, and then it wakes by itself.'
        : 'None comes back by itself: mend a login, or release an account.'],
      clock: until && ['Wakes at ', moment(until, 'back')],
    };
    case 'throttled': return {
      title: 'Throttled: the account is out, and swap.max_per_hour is reached',
      then: ['The next swap waits until the oldest is an hour old.'],
      clock: until && ['Goes on at ', moment(until, 'back')],
    };
    case 'swapping': return {
      title: `Moving from ${open?.from ?? '?'} to ${open?.to ?? '?'}`,
      then: open ? [`Phase ${words(open.phase)}. `, trigger(open.trigger, open)] : [],
      clock: open && ['Planned ', moment(open.planned_at, 'ago')],
    };
    case 'degraded': return {
      title: status.ok === false ? 'Degraded: a person is needed' : 'Degraded: it works, but not all of it',
      then: ['More is in ', h('code', '', 'claude-failover status'), ' and in the log.'],
    };
    case 'paused': return {
      title: 'Paused by the operator: nobody is moved and no task is given out',
      then: [h('code', '', 'claude-failover resume'), ' ends it.'],
      clock: until && ['Ends by itself at ', moment(until, 'back')],
    };
    case 'draining': return { title: 'Draining: what is in flight is finished, then the daemon ends', then: [] };
    case 'starting': return { title: 'Starting: nothing has been seen of tmux yet', then: [] };
    default: return { title: `The state is ${words(status.state)}`, then: [] };
  }
}

function paintBanner(status, gone) {
  const box = $('banner-box');
  const said = gone ?? banner(status);
  box.classList.toggle('shown', said !== null);
  $('banner-inner').className = gone ? 'bad' : toneOf(status);
  if (said === null) {
    $('banner').replaceChildren();
    $('banner-clock').replaceChildren();
    return;
  }
  const reasons = gone ? [] : list(status.reasons).map((reason) => h('li', '', reason));
  $('banner').replaceChildren(h('p', 'title', said.title), reasons.length ? h('ul', '', reasons) : '',
    said.then.length ? h('div', 'then', ...said.then) : '');
  $('banner-clock').replaceChildren(...(said.clock ?? []));
}

function paintHeadline(status, gone) {
  const word = gone ? 'no answer' : words(status.state);
  $('state').textContent = word;
  $('state').className = `pill ${gone ? 'bad' : toneOf(status)}`;
  document.title = `${word} · claude-failover`;
  const last = status.swap?.last;
  const rests = ['parked', 'stuck', 'swapping'].includes(status.state);
  $('summary').replaceChildren(...(status.active_account
    ? [rests ? 'The link is on ' : 'Work runs on ', h('strong', '', status.active_account)] : ['No active account is known']),
  ...(last ? [' · last swap ', moment(last.done_at, 'ago')] : []));
  paintIcon(gone ? 'bad' : toneOf(status));
}

const ICONS = { good: '%231a7f42', info: '%231f5fbf', warn: '%23c77700', bad: '%23d0342c', rest: '%235c6773' };
function paintIcon(tone) {
  const svg = `%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='${ICONS[tone]}'/%3E%3C/svg%3E`;
  document.querySelector('link[rel=icon]').href = `data:image/svg+xml,${svg}`;
}

function paintAccounts(status) {
  const target = status.plan?.target;
  $('plan').textContent = target ? `next: ${target}` : 'no other can be taken';
  const accounts = list(status.accounts);
  $('accounts').replaceChildren(accounts.length ? h('ul', 'rows', accounts.map(account)) : h('p', 'none', 'No account is known.'));
}

function account(it) {
  const back = it.until && it.state !== 'available';
  const gauges = ['five_hour', 'weekly'].map((name) => gauge(it, name)).filter(Boolean);
  const evidence = list(it.limits).map((limit) => quote(limit.row,
    `${windowName(limit.window)} limit, ${words(limit.evidence)}${limit.session ? ` of ${limit.session}` : ''} at `,
    moment(limit.since, 'clock'), limit.printed ? '' : ' (its end is a guess)'));
  return h('li', '',
    h('div', 'head', h('span', 'name', it.name), it.active && h('span', 'tag info', 'in use'),
      it.pinned && h('span', 'tag rest', 'pinned'), h('span', `tag ${ACCOUNT_TONES[it.state] ?? 'rest'}`, words(it.state)),
      h('span', 'end', back ? ['back at ', moment(it.until, 'back')] : `priority ${it.priority}`)),
    gauges.length > 0 && h('div', 'gauges', gauges),
    gauges.length > 0 && isStale(it) && h('p', 'small soft as-of', `Used shares as of ${length(it.used.age_s * 1000)} ago`), ...evidence,
    it.passed_over && !it.active && !evidence.length && h('p', 'small soft', it.passed_over));
}

/** Quota may have been spent elsewhere since. */
const isStale = (it) => Number(it.used?.age_s) > 900;

/** The used share of a window; one that has been reset since tells nothing. */
function gauge(it, name) {
  const told = it.used?.[name];
  if (!told || (told.resets_at && parse(told.resets_at) <= now())) return null;
  const percent = Math.min(100, Math.max(0, Number(told.used_percent) || 0));
  const fill = h('div', `fill ${percent >= 90 ? 'bad' : percent >= 75 ? 'warn' : ''} ${isStale(it) ? 'stale' : ''}`);
  fill.style.width = `${percent}%`;
  const track = h('div', 'track', fill);
  const label = `${name === 'five_hour' ? '5 hours' : 'week'}`;
  track.setAttribute('role', 'meter');
  track.setAttribute('aria-label', `${it.name}, ${label}, used`);
  track.setAttribute('aria-valuemin', '0');
  track.setAttribute('aria-valuemax', '100');
  track.setAttribute('aria-valuenow', String(percent));
  return h('div', 'gauge', h('div', 'label', h('span', '', `${label} `, h('strong', '', `${Math.round(percent)} %`)),
  h('span', 'soft', ...(told.resets_at ? ['resets ', moment(told.resets_at, 'in')] : []))), track);
}

function paintSessions(status) {
  const sessions = list(status.sessions);
  const busy = sessions.filter((it) => String(it.agent?.state).startsWith('busy')).length;
  $('sessions-note').textContent = sessions.length ? `${busy} of ${sessions.length} at work` : '';
  const inHand = new Map(list(status.tasks?.in_hand).map((task) => [task.session, task]));
  $('sessions').replaceChildren(sessions.length ? h('ul', 'rows', sessions.map((it) => session(it, inHand.get(it.name), status)))
    : h('p', 'none', 'No session is configured.'));
}

/** Channels that cannot be told anything at present. */
function paintChannels(status) {
  const failing = list(status.notifications).filter((channel) => channel.last_error);
  $('channels').replaceChildren(...failing.map((channel) => h('p', 'small warn notice',
    `Messages by ${channel.channel} do not go out: ${channel.last_error}`)));
}

/** What it is doing: tone, word, since when, and what more there is to say. */
function doing(it, task, status) {
  const agent = it.agent;
  if (!it.exists) return { tone: 'bad', word: 'missing', since: it.lost_at };
  if (it.move) return { tone: 'info', word: `moving to ${it.move.to}: ${words(it.move.stage)}` };
  if (!agent) return { tone: 'rest', word: task ? words(task.state) : 'shell, no agent', since: task?.since };
  const state = String(agent.state);
  const out = list(status.hits).find((hit) => hit.session === it.name);
  if (out) return { tone: 'warn', word: `refused on ${out.account}`, since: out.suspected_hit_at, row: out.row };
  if (state.startsWith('waiting')) {
    const why = agent.dialog ? words(agent.dialog) : state.replace(/^waiting\("?|"?\)$/g, '');
    return { tone: 'warn', word: `waits for a person: ${why}`, since: agent.since };
  }
  if (state === 'busy') return { tone: 'good', word: 'at work', since: agent.since };
  if (agent.armed) return { tone: 'warn', word: 'refused, goes on by itself at the reset', since: agent.since };
  return { tone: state === 'idle' ? 'rest' : 'warn', word: state === 'idle' ? 'idle' : 'state unknown', since: agent.since };
}

const homeOf = (home) => (home?.homed ? `on ${home.homed}` : home === 'linked' ? 'follows the link' : 'on a home of its own');

function session(it, task, status) {
  const does = doing(it, task, status);
  const error = it.agent?.last_error;
  const facts = [does.word, it.group === 'pool' ? null : words(it.group), it.agent && homeOf(it.agent.home), it.attached > 0 && 'attached', it.drained_since && 'drained: gets no more tasks'].filter(Boolean).join(' · ');
  const name = h('span', 'name', it.name);
  if (it.agent?.conversation) name.title = `conversation ${it.agent.conversation}`;
  return h('li', 'session', h('span', `dot ${does.tone}`), h('div', '', name),
    h('span', 'end', does.since ? moment(does.since, 'for') : ''),
    h('div', 'rest-of', task && h('p', '', task.title), h('p', 'small soft', facts),
      does.row ? quote(does.row) : error ? quote(error.row, `${words(error.verdict?.kind ?? error.verdict)} `, moment(error.at, 'ago')) : ''));
}

const TASK_TONES = { running: 'good', blocked: 'warn', unknown: 'bad', ending: 'info', claimed: 'info', sending: 'info' };
const WAITING = [['ready', 'ready', 'info'], ['blocked', 'waiting for others', 'rest'], ['later', 'for later', 'rest'],
  ['foreign', 'with a foreign marker', 'warn'], ['not_for_us', 'not for us', 'rest'], ['refused', 'refused', 'warn']];

function paintTasks(status) {
  const tasks = status.tasks ?? {};
  const waiting = WAITING.filter(([key]) => tasks.waiting?.[key] > 0)
    .map(([key, word, tone]) => h('li', `tag ${tone}`, `${tasks.waiting[key]} ${word}`));
  const inHand = list(tasks.in_hand);
  $('tasks-note').textContent = tasks.dispatching === false ? 'not dispatching' : '';
  $('tasks').replaceChildren(waiting.length ? h('ul', 'chips', waiting) : '', inHand.length ? h('ul', 'rows', inHand.map(task)) : '',
    !waiting.length && !inHand.length ? h('p', 'none', 'Nothing waits and nothing runs.') : '',
    tasks.polled_because ? h('p', 'none small', `Inboxes are only polled: ${tasks.polled_because}`) : '');
}

function task(it) {
  return h('li', '', h('div', 'titled', h('span', 'name', it.title), h('span', 'end', moment(it.since, 'for'))),
    h('p', 'small soft', h('span', `tag ${TASK_TONES[it.state] ?? 'rest'}`, words(it.state)), ' ', [it.task, it.session, it.account && `on ${it.account}`, it.attempt > 1 && `attempt ${it.attempt}`].filter(Boolean).join(' · ')),
  it.reason && quote(it.reason));
}
