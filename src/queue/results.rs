//! The names of results: `<id>.md`, and `<id>~2.md` and so on for further ones of that id in the same
//! directory. No id holds a `~`, so that no result of one task can be taken for another's.

use std::io::{self, ErrorKind};

use crate::ids::TaskId;
use crate::queue::dir::Dir;

const RESULT: &str = ".md";
/// A name with a higher number is nobody's result. Once a minute, an id lasts for two years.
const NUMBER_MAX: u32 = 1 << 20;

/// Counts from 1.
pub fn name(id: &TaskId, number: u32) -> String {
    if number == 1 { format!("{id}{RESULT}") } else { format!("{id}~{number}{RESULT}") }
}

/// Whose result has this name, and which of them it is.
pub fn parse(name: &str) -> Option<(TaskId, u32)> {
    let stem = name.strip_suffix(RESULT)?;
    let (id, number) = match stem.split_once('~') {
        None => (stem, 1),
        Some((id, number)) => {
            (id, number.parse().ok().filter(|number| (2..=NUMBER_MAX).contains(number))?)
        }
    };
    let id: TaskId = id.parse().ok()?;
    (self::name(&id, number) == name).then_some((id, number))
}

/// The numbers of an id that are taken in a directory, whatever has those names. Sorted.
pub fn numbers(dir: &Dir, id: &TaskId) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    dir.for_each(|name, _| {
        let found = name.to_str().and_then(parse).filter(|(of, _)| of == id);
        numbers.extend(found.map(|(_, number)| number));
    })?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// After all that are there: so the last of them is the newest.
pub fn next(dir: &Dir, id: &TaskId) -> io::Result<u32> {
    let last = numbers(dir, id)?.pop().unwrap_or(0);
    if last < NUMBER_MAX { Ok(last + 1) } else { Err(too_many(dir, id)) }
}

/// Some number that is free. A directory of many thousand names need not be listed for it.
pub fn free(dir: &Dir, id: &TaskId) -> io::Result<u32> {
    let is_taken = |number| Ok::<_, io::Error>(dir.look(name(id, number))?.is_some());
    let (mut taken, mut free) = (0, 1);
    while is_taken(free)? {
        (taken, free) = (free, free * 2);
        if free > NUMBER_MAX {
            return Err(too_many(dir, id));
        }
    }
    while free - taken > 1 {
        let middle = taken + (free - taken) / 2;
        if is_taken(middle)? { taken = middle } else { free = middle }
    }
    Ok(free)
}

fn too_many(dir: &Dir, id: &TaskId) -> io::Error {
    let text = format!("{} holds too many results of {id}: move them away", dir.path().display());
    io::Error::new(ErrorKind::AlreadyExists, text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_name_stands_for_one_result_of_one_task() {
        for (name, expected) in [
            ("t.md", Some(("t", 1))),
            ("t~2.md", Some(("t", 2))),
            ("t.2.md", Some(("t.2", 1))),
            ("t.2~10.md", Some(("t.2", 10))),
            ("t~1.md", None),
            ("t~02.md", None),
            ("t~+2.md", None),
            ("t~1048576.md", Some(("t", 1 << 20))),
            ("t~1048577.md", None),
            ("t~2~3.md", None),
            ("~2.md", None),
            ("t~.md", None),
            ("t.md.refused", None),
        ] {
            let found = parse(name);
            let found = found.as_ref().map(|(id, number)| (id.as_str(), *number));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_next_number_comes_after_all_and_a_free_one_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let (id, at) = ("t".parse().unwrap(), Dir::open(dir.path()).unwrap());
        let put = |name: &str| fs::write(dir.path().join(name), "").unwrap();
        assert_eq!((next(&at, &id).unwrap(), free(&at, &id).unwrap()), (1, 1));
        for number in 1..=1100 {
            put(&name(&id, number));
            assert_eq!(free(&at, &id).unwrap(), number + 1);
        }
        for other in ["t.2.md", "tt.md", "t~1101.txt"] {
            put(other);
        }
        assert_eq!(next(&at, &id).unwrap(), 1101);
        fs::remove_file(dir.path().join("t~700.md")).unwrap();
        assert_eq!(next(&at, &id).unwrap(), 1101);
        let found = name(&id, free(&at, &id).unwrap());
        assert!(!dir.path().join(found).exists());
        for power in 0..=20 {
            put(&name(&id, 1 << power));
        }
        let error = next(&at, &id).unwrap_err().to_string();
        assert!(error.contains("too many results of t"), "{error}");
        assert!(free(&at, &id).is_err());
    }
}
