//! What has to be done so that everything lies where the layout says, found without a change.
//!
//! Out of the disk as it is, so that a plan that was cut in the middle is only a shorter plan.

use std::io;
use std::path::{Path, PathBuf};

use crate::adopt::merge;
use crate::adopt::view::{Found, View};
use crate::adopt::{Layout, Role, Step};
use crate::files;
use crate::shell_word::shell_word;

/// More steps than this are no home that a client has written.
pub const STEPS_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// What a person should know of it, such as files that differ.
    pub notes: Vec<String>,
    /// Why it cannot be carried out, with the way out; then `steps` is not the whole of it.
    pub obstacles: Vec<String>,
}

/// Steps and the disk as it is after them.
#[derive(Default)]
pub struct Draft {
    pub plan: Plan,
    pub view: View,
}

/// `earlier`: the steps of a try that was cut short.
///
/// # Errors
/// Something cannot be looked at; the error names it.
pub fn plan(layout: &Layout, earlier: &[Step]) -> io::Result<Plan> {
    let mut draft = Draft::default();
    let active = draft.take_directory(layout, earlier)?;
    for (name, home) in &layout.accounts {
        draft.home(name, home)?;
    }
    draft.check_homes_apart(layout);
    if let Some(active) = active {
        draft.link(&layout.link, &active, Role::Active);
    }
    for (name, shared) in &layout.shared {
        if !draft.is_outside_homes(layout, shared) {
            continue;
        }
        for (account, home) in &layout.accounts {
            merge::into_shared(&mut draft, account, home, name, shared)?;
        }
        merge::links(&mut draft, layout, name, shared)?;
    }
    Ok(draft.plan)
}

impl Draft {
    /// The directory in the place of the link becomes a home. Gives the home that the link shall
    /// name; `None` when there is a link already, or no way to one.
    fn take_directory(&mut self, layout: &Layout, earlier: &[Step]) -> io::Result<Option<PathBuf>> {
        let link = layout.link.as_path();
        match self.view.look(link)? {
            Found::Nothing => Ok(self.missing_link(layout, earlier)),
            Found::Link(target) => {
                self.check_link(layout, &target);
                Ok(None)
            }
            Found::File(_) | Found::Other(_) => {
                self.obstacle(format!(
                    "{} is a file and shall be a link to a home: move it away first",
                    link.display()
                ));
                Ok(None)
            }
            Found::Dir(_) => {
                let mut free = layout.accounts.iter();
                let free =
                    free.find(|(_, home)| matches!(self.view.look(home), Ok(Found::Nothing)));
                let Some((_, home)) = free else {
                    self.obstacle(format!(
                        "{} is a real directory, and every account has a home already: give it to \
                         one more account in the configuration, whose home does not exist yet",
                        link.display()
                    ));
                    return Ok(None);
                };
                self.parents(home)?;
                self.rename(link, home)?;
                self.state_file(layout, home);
                Ok(Some(home.clone()))
            }
        }
    }

    fn missing_link(&mut self, layout: &Layout, earlier: &[Step]) -> Option<PathBuf> {
        let taken = earlier.iter().rev().find_map(|step| match step {
            Step::Move { from, to, .. } if *from == layout.link => Some(to.clone()),
            _ => None,
        });
        if let Some(home) = &taken {
            self.state_file(layout, home);
        }
        taken.or_else(|| layout.accounts.first().map(|(_, home)| home.clone()))
    }

    /// The client keeps its state beside `~/.claude`, but inside a home that it is given by name.
    /// Whoever has no `CLAUDE_CONFIG_DIR` goes on with the file where it is.
    fn state_file(&mut self, layout: &Layout, home: &Path) {
        let file = layout.state_beside();
        let name = home.join(".claude.json");
        if !matches!(self.view.look(&name), Ok(Found::Nothing)) {
            return;
        }
        match self.view.look(&file) {
            Ok(Found::File(place)) if self.view.device(home).is_ok_and(|at| at == place.device) => {
                self.push(Step::SecondName { file, name });
            }
            Ok(Found::Nothing) => {}
            Ok(_) | Err(_) => self.plan.notes.push(format!(
                "{} is no plain file of this file system: when all is done, cp -pL it to {}, or \
                 the client asks its first questions again",
                file.display(),
                name.display()
            )),
        }
    }

    fn check_link(&mut self, layout: &Layout, target: &Path) {
        let link = layout.link.as_path();
        let target = link.parent().unwrap_or(Path::new("/")).join(target);
        let mut homes = layout.accounts.iter().map(|(_, home)| home);
        if homes.any(|home| *home == target || files::leads_to(link, home)) {
            return;
        }
        self.obstacle(format!(
            "{} leads to {}, which is the home of no account: name that home in the configuration, \
             or make the link lead to one that is named there",
            link.display(),
            target.display()
        ));
    }

    fn home(&mut self, account: &str, home: &Path) -> io::Result<()> {
        match self.view.look(home)? {
            Found::Dir(_) => {}
            Found::Nothing => self.dirs(home)?,
            Found::Link(_) if home.is_dir() => {}
            Found::Link(_) | Found::File(_) | Found::Other(_) => self.obstacle(format!(
                "{} shall be the home of {account} and is no directory: move it away, or name \
                 another",
                home.display()
            )),
        }
        Ok(())
    }

    fn check_homes_apart(&mut self, layout: &Layout) {
        for (at, (first, home)) in layout.accounts.iter().enumerate() {
            for (second, other) in &layout.accounts[at + 1..] {
                if files::leads_to(home, other) {
                    self.obstacle(format!(
                        "{first} and {second} have the same home, {}: each account needs its own",
                        home.display()
                    ));
                }
            }
        }
    }

    fn is_outside_homes(&mut self, layout: &Layout, shared: &Path) -> bool {
        let inside = layout.accounts.iter().find(|(_, home)| shared.starts_with(home));
        if let Some((account, _)) = inside {
            self.obstacle(format!(
                "{} lies in the home of {account}: name a place outside of all homes in \
                 pool.shared_projects_dir",
                shared.display()
            ));
        }
        inside.is_none()
    }

    /// Makes the directories above `path` that are missing.
    pub fn parents(&mut self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |parent| self.dirs(parent))
    }

    /// Makes `path` and the directories above it, where they are missing.
    pub fn dirs(&mut self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        for at in path.ancestors() {
            match self.view.look(at)? {
                Found::Nothing => missing.push(at.to_owned()),
                _ => break,
            }
        }
        for path in missing.into_iter().rev() {
            self.view.made_dir(&path);
            self.push(Step::MakeDir { path });
        }
        Ok(())
    }

    /// Plans a rename of what is at `from`. One to another file system is an obstacle.
    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = match self.view.look(from)? {
            Found::Dir(Some(at)) | Found::File(at) | Found::Other(at) => (at.device, at.inode),
            Found::Link(_) => self.link_id(from)?,
            Found::Nothing | Found::Dir(None) => return Ok(()),
        };
        if self.view.device(to.parent().unwrap_or(to))? != id.0 {
            self.obstacle(elsewhere(from, to));
            return Ok(());
        }
        self.view.moved(from, to);
        self.push(Step::Move { from: from.to_owned(), to: to.to_owned(), id });
        Ok(())
    }

    fn link_id(&self, path: &Path) -> io::Result<(u64, u64)> {
        use std::os::unix::fs::MetadataExt as _;
        // INVARIANT: links are moved only out of directories that lie where they always lay, or were
        // moved whole; the parent's place gives theirs.
        let parent = path.parent().unwrap_or(path);
        let real = match self.view.look(parent)? {
            Found::Dir(Some(place)) => place.path,
            _ => parent.to_owned(),
        };
        let found = fs_err::symlink_metadata(real.join(path.file_name().unwrap_or_default()))?;
        Ok((found.dev(), found.ino()))
    }

    pub fn link(&mut self, path: &Path, target: &Path, role: Role) {
        self.view.made_link(path, target);
        let (path, target) = (path.to_owned(), target.to_owned());
        self.push(Step::Link { path, target, role });
    }

    pub fn obstacle(&mut self, text: String) {
        if !self.plan.obstacles.contains(&text) {
            self.plan.obstacles.push(text);
        }
    }

    fn push(&mut self, step: Step) {
        if self.plan.steps.len() == STEPS_MAX {
            self.obstacle(format!("the plan has more than {STEPS_MAX} steps: move the rest first"));
            return;
        }
        self.plan.steps.push(step);
    }
}

/// A copy is what a rename there would be; it is left to the operator, who knows how full both are.
fn elsewhere(from: &Path, to: &Path) -> String {
    let mut kept = from.as_os_str().to_owned();
    kept.push(".before");
    let (source, target, kept) = (shell_word(from), shell_word(to), shell_word(kept));
    let (from, to) = (from.display(), to.display());
    format!(
        "{from} and {to} are on two file systems, and what is moved here is renamed, not copied: \
         name a place on the same one, or end every Claude Code and move it yourself: \
         mkdir -p {target} && cp -an {source}/. {target}/ && mv -T {source} {kept}"
    )
}
