//! The words by which texts of the client are known, lower case. Data only; `form` applies it.

/// The phrases by which the system this one succeeds knew a limit, anywhere on the screen.
///
/// Kept, where a row begins with them: 1, 4, 6 and 7 (as `<plan words> limit …`); 3 with a reset.
/// Not kept as a limit: 2 and 5, which stand behind throttles too; they are in [`THROTTLES`].
pub const PREDECESSOR_PHRASES: [&str; 7] = [
    "you've hit your limit",
    "rate_limit_error",
    "quota exceeded",
    "usage limit reached",
    "too many requests",
    "claude pro usage",
    "5-hour limit",
];
/// A row that contains one of these is a server's error whatever else it says. There a veto held
/// for the screen, so that an old error hid a new limit; here it holds for its own row.
pub const PREDECESSOR_VETOES: [&str; 4] =
    ["api_error", "overloaded_error", "internal server error", "api error: 5"];

pub const SEPARATORS: [char; 3] = ['·', '∙', '•'];
/// What takes the place of a separator in texts that went through ASCII, and in other programs.
pub const PUNCTUATION: [char; 8] = ['(', '.', '-', '–', '—', ';', ',', '|'];
pub const MODELS: [&str; 4] = ["opus", "sonnet", "haiku", "fable"];
/// Words that may stand before "limit" in a text about the plan.
pub const PLAN_WORDS: [&str; 26] = [
    "5-hour",
    "five-hour",
    "session",
    "weekly",
    "7-day",
    "seven-day",
    "daily",
    "monthly",
    "claude",
    "ai",
    "pro",
    "max",
    "plan",
    "usage",
    "extra",
    "your",
    "org's",
    "team",
    "team's",
    "enterprise",
    "shared",
    "individual",
    "channel's",
    "group's",
    "organization's",
    "account",
];
pub const SPEND_WORDS: [&str; 5] = ["spend", "spending", "credit", "credits", "budget"];

/// The client waits for a reset by itself.
pub const WAITS: [&str; 5] = [
    "goal paused · usage limit reached",
    "usage limit reached · continuing",
    "usage limit reached · set to continue",
    "usage limit reached · limit resets",
    "usage limit reached again after",
];
/// The limit has gone.
pub const LIFTED: [&str; 4] = [
    "usage limit reset ·",
    "usage limit available again",
    "your usage limit has reset",
    "your claude.ai usage limit has reset",
];
pub const CREDITS_SPENT: [&str; 3] =
    ["you're out of extra usage", "you're out of usage credits", "your org is out of usage"];
pub const NO_ALLOWANCE: [&str; 5] = [
    "your seat type doesn't include usage credits",
    "your seat type doesn't include extra usage",
    "your seat type doesn't include usage",
    "your usage allocation has been disabled by your admin",
    "your group's usage limit is set to $0",
];
/// Requests go on, paid from credits or at low priority.
pub const OVERAGE: [&str; 4] =
    ["you're now using", "now using", "lower priority until", "working at lower priority"];
pub const WARNINGS: [&str; 4] =
    ["you've used", "you're close to", "approaching", "your login expires in"];
/// What hooks and permissions print under a tool call, before the tool does.
pub const BEFORE_OUTPUT: [&str; 6] =
    ["PreToolUse", "PostToolUse", "PermissionRequest", "Allowed by", "Approved by", "Denied by"];
/// Limits of something else than the plan.
pub const OTHER_LIMITS: [&str; 6] = [
    "context limit reached",
    "budget limit reached",
    "concurrent subagent limit",
    "subagent nesting limit",
    "prompt is too long",
    "request too large",
];
/// Fast mode alone; work goes on at normal speed.
pub const FAST_LIMITS: [&str; 3] = ["fast limit", "fast mode", "you've hit your fast limit"];
pub const MODEL_CREDITS: [&str; 1] = ["fable 5 requires usage credits"];
/// Texts of the API that stand behind throttles and limits alike.
pub const THROTTLES: [&str; 2] = ["rate_limit_error", "too many requests"];
pub const LOGIN: [&str; 6] = [
    "not logged in",
    "login expired",
    "oauth token revoked",
    "oauth token has expired",
    "please run /login",
    "invalid api key",
];
/// An account that cannot be used, whatever its quota.
pub const ORGANIZATION: [&str; 5] = [
    "credit balance is too low",
    "credit balance too low",
    "your anthropic_api_key belongs to",
    "your organization has disabled",
    "claude code can't use your claude subscription",
];
pub const CONNECTION: [&str; 7] = [
    "retrying in ",
    "request timed out",
    "connection refused",
    "connection dropped",
    "can't reach the api server",
    "unable to connect to api",
    "api returned an empty or malformed",
];
/// What stands under a banner without saying anything new.
pub const TAIL: [&str; 16] = [
    "/upgrade",
    "/usage-credits",
    "/login to switch",
    "/rate-limit-options",
    "/extra-usage",
    "/low-priority",
    "/model",
    "opening your options",
    "what do you want to do?",
    "enter to confirm",
    "continuing automatically",
    "automatic continue",
    "how is claude doing this session?",
    "teammate @",
    "background command \"",
    "agent \"",
];
/// What another program says of a client that ended, before it repeats the client's last words.
pub const FAILURES: [&str; 9] =
    ["error", "failed", "failure", "exited", "aborted", "stopped", "crashed", "died", "fatal"];
/// How such a program calls its client; one of these stands before the words.
pub const CLIENTS: [&str; 4] = ["claude", "agent", "acp", "anthropic"];
/// What may stand at the end of a banner, after its reset.
pub const SUFFIXES: [&str; 2] = ["progress saved", "out of usage credits"];
