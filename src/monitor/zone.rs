//! The zone in which clients on this host print their resets.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// The IANA name, found as the client's own runtime does: `tz` (the variable `TZ`), then where
/// `localtime` in `etc` leads, then the text of `timezone` there. `None` when all are silent.
pub fn of_host(tz: Option<&OsStr>, etc: &Path) -> Option<String> {
    let variable =
        tz.and_then(OsStr::to_str).map(|tz| tz.trim_start_matches(':').to_owned()).and_then(known);
    let link = || known(fs::read_link(etc.join("localtime")).ok()?.to_str()?.to_owned());
    let text = || known(fs::read_to_string(etc.join("timezone")).ok()?.trim().to_owned());
    variable.or_else(link).or_else(text)
}

fn known(name: String) -> Option<String> {
    let name = match name.split_once("zoneinfo/") {
        Some((_, name)) => name.to_owned(),
        None => name,
    };
    tzdb::tz_by_name(&name).map(|_| name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_first_place_that_names_a_known_zone_wins() {
        let zoneinfo = "/usr/share/zoneinfo";
        for (tz, localtime, timezone, expected) in [
            (Some("Asia/Tokyo"), None, None, Some("Asia/Tokyo")),
            (Some(":Asia/Tokyo"), None, None, Some("Asia/Tokyo")),
            (Some("/usr/share/zoneinfo/Asia/Tokyo"), None, None, Some("Asia/Tokyo")),
            (Some(""), Some("Etc/UTC"), None, Some("Etc/UTC")),
            (Some("<+03>-3"), None, Some("Europe/Paris\n"), Some("Europe/Paris")),
            (None, Some("America/New_York"), Some("UTC"), Some("America/New_York")),
            (None, None, Some("nonsense"), None),
            (None, None, None, None),
        ] {
            let etc = tempfile::tempdir().unwrap();
            if let Some(name) = localtime {
                symlink(format!("{zoneinfo}/{name}"), etc.path().join("localtime")).unwrap();
            }
            if let Some(text) = timezone {
                fs::write(etc.path().join("timezone"), text).unwrap();
            }
            let zone = of_host(tz.map(OsStr::new), etc.path());
            assert_eq!(zone.as_deref(), expected, "{tz:?} {localtime:?} {timezone:?}");
        }
    }
}
