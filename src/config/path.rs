//! A path of the file as a path of this host.

use std::path::{Component, Path, PathBuf};

use crate::config::load::Base;

/// Linux takes no longer path.
const PATH_BYTES_MAX: usize = 4095;

/// `~` and `~/…` from the home directory, all others from `/`; `.` and doubled `/` are dropped.
pub fn absolute_path(text: &str, base: &Base) -> Result<PathBuf, String> {
    let written = Path::new(text);
    let path = match written.strip_prefix("~") {
        Ok(below_home) => base
            .home
            .as_deref()
            .ok_or("the home directory is not known: set HOME or write an absolute path")?
            .join(below_home),
        Err(_) => written.to_owned(),
    };
    if !path.is_absolute() {
        return Err(format!(
            "{text:?} is not absolute: write it from / or ~/ (~name and variables are not expanded)"
        ));
    }
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(format!("the path has more than {PATH_BYTES_MAX} bytes"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("{text:?} holds ..: write the path without it"));
    }
    Ok(path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_out_absolute_and_plain() {
        let base = Base::new("/home/u");
        for (text, expected) in [
            ("~", Some("/home/u")),
            ("~/", Some("/home/u")),
            ("~/.claude/", Some("/home/u/.claude")),
            ("/a//b/./c/", Some("/a/b/c")),
            ("~other/x", None),
            ("a/b", None),
            ("./a", None),
            ("$HOME/a", None),
            ("/a/../b", None),
            ("~/../b", None),
        ] {
            let path = absolute_path(text, &base).ok();
            assert_eq!(path.as_deref(), expected.map(Path::new), "{text:?}");
            // Equality of paths does not see a trailing slash; the text must not have one.
            assert_eq!(
                path.map(|path| path.into_os_string().into_string().unwrap()),
                expected.map(str::to_owned)
            );
        }
        assert!(absolute_path("~/a", &Base { home: None }).is_err());
        assert!(absolute_path(&format!("/{}", "a".repeat(5000)), &base).is_err());
    }
}
