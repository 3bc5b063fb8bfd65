//! The user's login shell: which it is, the PATH it gives, and the program a name means there.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;
use rustix::process::geteuid;

use crate::process::environment;
use crate::process::run::{Environment, run};

/// A profile that takes longer is taken as broken.
pub const LOGIN_PATH_TIMEOUT: Duration = Duration::from_secs(2);
/// Used where neither the environment nor the system names one that can be run.
pub const FALLBACK_SHELL: &str = "/bin/sh";
/// The answer stands between these, because profiles print greetings.
const PATH_BEGIN: &str = "<failover-path>";
const PATH_END: &str = "</failover-path>";

/// `$SHELL`, else the shell in `/etc/passwd`, else [`FALLBACK_SHELL`]; the first that can be run.
pub fn login_shell() -> PathBuf {
    let own = env::var_os("SHELL").map(PathBuf::from);
    own.into_iter()
        .chain(passwd_shell())
        .find(|shell| shell.is_absolute() && is_program(shell))
        .unwrap_or_else(|| FALLBACK_SHELL.into())
}

/// The user's login shell, and those that the system lets its users choose (`/etc/shells`).
pub fn known_shells() -> Vec<PathBuf> {
    let listed = fs_err::read_to_string("/etc/shells").unwrap_or_default();
    let known = [login_shell()].into_iter().chain(passwd_shell()).chain(listed_shells(&listed));
    known.filter(|shell| shell.is_absolute() && is_program(shell)).collect()
}

/// The PATH of a login shell, which is where its user expects their programs to be found.
///
/// `None` when the shell cannot say within [`LOGIN_PATH_TIMEOUT`].
pub fn login_path(shell: &Path) -> Option<String> {
    let mut variables = environment::allowed();
    // A profile must not take its pane for the agent's, nor colour what it prints.
    variables.retain(|name, _| name != "TMUX" && name != "TMUX_PANE" && name != "COLORTERM");
    variables.insert("TERM".into(), "dumb".into());
    let script = format!("printf '%s%s%s' '{PATH_BEGIN}' \"$PATH\" '{PATH_END}'");
    let output = run(
        shell.as_os_str(),
        &[OsStr::new("-l"), OsStr::new("-c"), OsStr::new(&script)],
        Environment::Exactly(&variables),
        LOGIN_PATH_TIMEOUT,
    )
    .inspect_err(|error| log::warn!("no PATH from the login shell: {error}"))
    .ok()?;
    marked_path(&String::from_utf8(output.stdout).ok()?)
}

/// The program that `name` means: an absolute path itself, a bare name looked up in `path`.
///
/// The error says what was looked for and where.
pub fn resolve_program(name: &str, path: &OsStr) -> Result<PathBuf, String> {
    if name.contains('/') {
        let program = PathBuf::from(name);
        if !program.is_absolute() {
            return Err(format!("{name} is neither an absolute path nor a bare name"));
        }
        return match is_program(&program) {
            true => Ok(program),
            false => Err(format!("{name} is not an executable file")),
        };
    }
    env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|program| !name.is_empty() && is_program(program))
        .ok_or_else(|| {
            format!(
                "no program {name:?} in PATH ({}): install it or name it by its absolute path",
                path.to_string_lossy()
            )
        })
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

fn passwd_shell() -> Option<PathBuf> {
    let users = fs_err::read_to_string("/etc/passwd").ok()?;
    shell_of(&users, geteuid().as_raw())
}

fn shell_of(users: &str, uid: u32) -> Option<PathBuf> {
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2).and_then(|text| text.parse().ok()) == Some(uid))?;
    let shell = fields.get(6).filter(|shell| !shell.is_empty())?;
    Some(PathBuf::from(shell))
}

fn listed_shells(list: &str) -> impl Iterator<Item = PathBuf> {
    let rows = list.lines().map(str::trim);
    rows.filter(|row| !row.is_empty() && !row.starts_with('#')).map(PathBuf::from)
}

/// The last marked text: a profile that traces its commands may print the script itself before.
fn marked_path(output: &str) -> Option<String> {
    let (_, after) = output.rsplit_once(PATH_BEGIN)?;
    let (path, _) = after.split_once(PATH_END)?;
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_found_between_greetings() {
        for (output, expected) in [
            ("<failover-path>/a:/b</failover-path>", Some("/a:/b")),
            ("hello\n<failover-path>/a</failover-path>\nbye", Some("/a")),
            (
                "+ '<failover-path>' x '</failover-path>'<failover-path>/a</failover-path>",
                Some("/a"),
            ),
            ("<failover-path></failover-path>", None),
            ("<failover-path>/a", None),
            ("", None),
        ] {
            assert_eq!(marked_path(output).as_deref(), expected, "{output:?}");
        }
    }

    #[test]
    fn the_shell_of_a_user_is_the_seventh_field() {
        let users = "root:x:0:0:root:/root:/bin/bash\nnone:x:7:7::/:\nbroken\nme:x:8:8::/:/bin/zsh";
        assert_eq!(shell_of(users, 0), Some("/bin/bash".into()));
        assert_eq!(shell_of(users, 8), Some("/bin/zsh".into()));
        assert_eq!(shell_of(users, 7), None);
        assert_eq!(shell_of(users, 9), None);
    }

    #[test]
    fn a_row_of_the_list_is_a_shell_or_a_comment() {
        let listed: Vec<PathBuf> = listed_shells("# shells\n/bin/sh\n\n /usr/bin/nu \n").collect();
        assert_eq!(listed, [PathBuf::from("/bin/sh"), PathBuf::from("/usr/bin/nu")]);
    }

    #[test]
    fn a_program_is_an_absolute_path_or_a_name_in_the_path() {
        let path = OsStr::new("/nowhere:relative:/bin:/usr/bin");
        assert_eq!(resolve_program("sh", path), Ok("/bin/sh".into()));
        assert_eq!(resolve_program("/bin/sh", path), Ok("/bin/sh".into()));
        for name in ["", "bin/sh", "./sh", "/etc/passwd", "/bin", "no-such-thing"] {
            assert!(resolve_program(name, path).is_err(), "{name:?}");
        }
    }
}
