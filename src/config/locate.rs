//! On which line of the text a node stands.
//!
//! The YAML library gives positions only in its errors. So the text is read once more with a
//! visitor that fails on purpose at the wanted node: exact for every YAML notation, and paid for
//! only by a file that has something to report. A value behind an alias is on the line of its
//! anchor.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::config::raw::Step;

/// From 1; `None` when `steps` lead nowhere. The line of a key is that of its name.
pub fn line(text: &str, steps: &[Step]) -> Option<usize> {
    let found = Cell::new(false);
    let search = Search { steps, found: &found };
    let from = serde_yaml::Deserializer::from_str(text);
    let error = search.deserialize(from).err()?;
    let line = error.location()?.line();
    found.get().then_some(line)
}

/// Walks down `steps` and fails at their end, which makes the library name the place.
struct Search<'p> {
    steps: &'p [Step],
    found: &'p Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.steps.is_empty() {
            self.found.set(true);
            return from.deserialize_any(Refuse);
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a mapping on the way")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Index(at), rest)) = self.steps.split_first() else {
            return Err(A::Error::custom("a mapping was looked for"));
        };
        for _ in 0..*at {
            items.next_element::<IgnoredAny>()?;
        }
        let found = self.found;
        items.next_element_seed(Search { steps: rest, found })?;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((Step::Key { name, nth }, rest)) = self.steps.split_first() else {
            return Err(A::Error::custom("a list was looked for"));
        };
        let found = self.found;
        let mut equal_keys_before = *nth;
        loop {
            let is_end = rest.is_empty() && equal_keys_before == 0;
            let probe = KeyProbe { name, found: is_end.then_some(found) };
            match entries.next_key_seed(probe)? {
                None => return Ok(()),
                Some(true) if equal_keys_before == 0 => {
                    return entries.next_value_seed(Search { steps: rest, found });
                }
                Some(is_equal) => equal_keys_before -= usize::from(is_equal),
            }
            entries.next_value::<IgnoredAny>()?;
        }
    }
}

/// Takes no value of any kind.
struct Refuse;

impl Visitor<'_> for Refuse {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing: the place is found")
    }
}

/// Tells whether a key is called `name`; with `found`, fails at it instead.
struct KeyProbe<'p> {
    name: &'p str,
    found: Option<&'p Cell<bool>>,
}

impl<'de> DeserializeSeed<'de> for KeyProbe<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyProbe<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        let is_equal = key == self.name;
        match self.found {
            Some(found) if is_equal => {
                found.set(true);
                Err(E::custom("found"))
            }
            _ => Ok(is_equal),
        }
    }
}
