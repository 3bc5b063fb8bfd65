//! What a build knows of its commit: the build script itself, in trees of every kind.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

struct Script {
    dir: tempfile::TempDir,
}

impl Script {
    fn built() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/build.rs");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-o"]).arg(dir.path().join("script")).arg(source);
        let output = rustc.env("CARGO_PKG_VERSION", "1.2.3").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { dir }
    }

    fn tree(&self, name: &str) -> PathBuf {
        let tree = self.dir.path().join(name);
        fs::create_dir_all(&tree).unwrap();
        tree
    }

    /// What the build is told, and the paths that make cargo ask again.
    fn run(&self, tree: &Path, given: Option<&str>) -> (String, Vec<PathBuf>) {
        let mut script = Command::new(self.dir.path().join("script"));
        script.current_dir(tree).env_remove("CLAUDE_FAILOVER_COMMIT");
        script.envs(given.map(|given| ("CLAUDE_FAILOVER_COMMIT", given)));
        let output = script.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let all = |key: &str| -> Vec<String> {
            said.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect()
        };
        let watched = all("cargo:rerun-if-changed=");
        let watched = watched.into_iter().filter(|path| path != "etc/build.rs");
        let told = all("cargo:rustc-env=").join(" ");
        (told, watched.map(|path| tree.join(path)).collect())
    }
}

fn git(tree: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(tree).args(["-c", "user.name=n", "-c", "user.email=e@example.org"]).args(args);
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = git.env("GIT_COMMITTER_DATE", "2026-11-26T12:00:00Z").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(tree: &Path) -> String {
    git(tree, &["commit", "--quiet", "--allow-empty", "--message", "x"]);
    git(tree, &["rev-parse", "HEAD"])[..7].to_owned()
}

#[test]
fn a_build_knows_its_commit_wherever_that_can_be_known() {
    let script = Script::built();
    let bare = script.tree("bare");
    let told = |tree: &Path, given| script.run(tree, given).0;
    assert_eq!(told(&bare, None), "BUILD_COMMIT= BUILD_VERSION=1.2.3");
    let given = Some("abc1234 2026-01-02");
    let by_hand = "BUILD_COMMIT=abc1234 BUILD_VERSION=1.2.3 (abc1234, 2026-01-02)";
    assert_eq!(told(&bare, given), by_hand);
    let packed = r#"{"git": {"sha1": "0123456789abcdef"}, "path_in_vcs": ""}"#;
    fs::write(bare.join(".cargo_vcs_info.json"), packed).unwrap();
    assert_eq!(told(&bare, None), "BUILD_COMMIT=0123456 BUILD_VERSION=1.2.3 (0123456)");

    let repository = script.tree("repository");
    git(&repository, &["init", "--quiet"]);
    assert_eq!(told(&repository, None), "BUILD_COMMIT= BUILD_VERSION=1.2.3", "no commit yet");
    let own = commit(&repository);
    let by_git = format!("BUILD_COMMIT={own} BUILD_VERSION=1.2.3 ({own}, 2026-11-26)");
    assert_eq!(told(&repository, None), by_git);
    assert_eq!(told(&repository, given), by_hand, "the word of a person goes first");
    // An archive that was unpacked inside somebody's repository is no part of it.
    let inside = script.tree("repository/vendor/claude-failover");
    assert_eq!(told(&inside, None), "BUILD_COMMIT= BUILD_VERSION=1.2.3");
    let worktree = script.dir.path().join("worktree");
    git(&repository, &["worktree", "add", "--quiet", worktree.to_str().unwrap()]);
    assert_eq!(told(&worktree, None), by_git);
}

/// A path that is missing would make cargo build all anew each time; one that stays as it is when HEAD
/// moves would leave the old commit in the program.
#[test]
fn what_cargo_watches_is_there_and_changes_with_the_commit() {
    let script = Script::built();
    let repository = script.tree("repository");
    git(&repository, &["init", "--quiet"]);
    commit(&repository);
    let worktree = script.dir.path().join("worktree");
    git(&repository, &["worktree", "add", "--quiet", worktree.to_str().unwrap()]);
    git(&repository, &["pack-refs", "--all"]);
    for tree in [&repository, &worktree] {
        let (_, watched) = script.run(tree, None);
        assert!(!watched.is_empty());
        let texts = || watched.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
        let before = texts();
        assert_eq!(before, texts());
        commit(tree);
        assert_ne!(before, texts(), "{watched:?}");
    }
}
