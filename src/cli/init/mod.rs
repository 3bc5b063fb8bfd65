//! `init`: from the Claude homes that a user has to a configuration, and to the homes, the link and
//! the shared directories that it names. Asks nothing: it shows, and `--adopt` does.

mod adopt;
pub mod compose;
mod find;
pub mod logins;
mod show;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::adopt::Layout;
use crate::adopt::carry_out::preview;
use crate::cli::exit;
use crate::cli::say;
use crate::config::Config;
use crate::config::load::{Base, DEFAULT_PATH, load, parse};
use crate::files;

/// Readable for all, as is usual in /etc; it holds no secret.
const CONFIG_MODE: u32 = 0o644;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, hide_default_value = true)]
    config: PathBuf,
    /// One more Claude home, beside those that are found
    #[arg(long = "home", value_name = "DIR")]
    homes: Vec<PathBuf>,
    /// Write nothing at all: print the configuration, too
    #[arg(long, conflicts_with_all = ["adopt", "undo"])]
    dry_run: bool,
    /// Carry the plan out; a call that was cut short goes on
    #[arg(long, conflicts_with = "undo")]
    adopt: bool,
    /// Take back all that --adopt has done
    #[arg(long)]
    undo: bool,
}

/// 0: all is right or was done; 1: something stands in the way.
pub fn run(args: &Args) -> u8 {
    if let Err(why) = right_user() {
        say::error(&why);
        return exit::FAILED;
    }
    let config = match configuration(args) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if args.undo {
        return adopt::undo(&config);
    }
    if args.adopt {
        return adopt::adopt(&config, &args.config);
    }
    // A client that is asked may write to its home.
    if !args.dry_run {
        logins::show(&config);
    }
    let plan = match preview(&Layout::of(&config)) {
        Ok(plan) => plan,
        Err(error) => {
            say::error(format_args!("looking at the homes: {error}"));
            return exit::FAILED;
        }
    };
    show::plan(&plan);
    if !plan.obstacles.is_empty() {
        return exit::FAILED;
    }
    match plan.steps.is_empty() {
        true => show::next(&args.config),
        false => show::how_to_adopt(&args.config),
    }
    exit::OK
}

/// Homes belong to the user whom the daemon runs as; what root makes in them is root's.
///
/// # Errors
/// This is root on somebody's behalf, or another user than the owner of `HOME`.
pub fn right_user() -> Result<(), String> {
    let uid = geteuid().as_raw();
    if uid == 0
        && let Some(user) = std::env::var_os("SUDO_USER").filter(|user| user != "root")
    {
        return Err(format!(
            "this is root on behalf of {0}: run it as {0}, without sudo, and install what must go \
             to /etc afterwards",
            user.display()
        ));
    }
    let home = std::env::home_dir().unwrap_or_default();
    match fs_err::metadata(&home) {
        Ok(found) if found.uid() != uid => Err(format!(
            "{} belongs to uid {}, and you are uid {uid}: run it as that user, or set HOME",
            home.display(),
            found.uid()
        )),
        // What cannot be looked at is told by whoever needs it.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The one that is there; else one for the homes that are found.
fn configuration(args: &Args) -> Result<Config, u8> {
    let failed = |doing: &str, error: &io::Error| {
        say::error(format_args!("{doing}: {error}"));
        exit::FAILED
    };
    let base = Base::from_environment();
    let Some(user_home) = base.home.clone() else {
        say::error("your home directory is not known: set HOME");
        return Err(exit::FAILED);
    };
    let mut named = args.homes.clone();
    let from_environment = std::env::var_os("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    named.extend(from_environment.filter(|dir| dir.is_dir()));
    let homes = find::homes(&user_home, &named)
        .map_err(|error| failed("looking for Claude homes", &error))?;
    if args.config.exists() || args.undo {
        let config = load(&args.config).map_err(|error| {
            say::error(&error);
            exit::CONFIG
        })?;
        say::line(format_args!(
            "configuration: {} is there and stays as it is",
            args.config.display()
        ));
        show::homes_beyond(&config.config, &homes, &args.config);
        return Ok(config.config);
    }
    let accounts = compose::accounts(&user_home, &homes);
    let text = compose::text(&user_home, &accounts, &compose::shared_projects(&user_home, &homes));
    let config = parse(&text, &base).map_err(|problems| {
        for problem in problems {
            say::error(format_args!("the configuration for this host would be wrong: {problem}"));
        }
        exit::SOFTWARE
    })?;
    if args.dry_run {
        say::line(format_args!(
            "configuration: would be written to {}:\n\n{text}",
            args.config.display()
        ));
    } else {
        write_new(&args.config, &text).map_err(|error| {
            say::error(format_args!(
                "writing the configuration: {error}: name a file of your own with --config, and \
                 install it from there: sudo install -D -m 644 FILE {DEFAULT_PATH}"
            ));
            exit::FAILED
        })?;
        say::line(format_args!("configuration: written to {}", args.config.display()));
    }
    Ok(config.config)
}

/// Whole or not at all; one that has come meanwhile stays.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // The one directory that is ours to make.
    if let Some(dir) = path.parent().filter(|dir| Some(*dir) == Path::new(DEFAULT_PATH).parent())
        && !dir.exists()
    {
        fs_err::create_dir(dir)?;
    }
    let mut next = path.as_os_str().to_owned();
    next.push(format!(".{}", std::process::id()));
    let next = PathBuf::from(next);
    files::write_atomic(&next, text.as_bytes(), CONFIG_MODE)?;
    files::rename_new(&next, path).inspect_err(|_| drop(files::remove_name(&next)))
}
