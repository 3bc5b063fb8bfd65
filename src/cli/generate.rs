//! `generate`: completions and the man page, from the definitions that parse the command line.

mod man;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::{Cli, exit, say};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum What {
    /// A script that completes verbs and options: bash, zsh, fish
    Completions { shell: Shell },
    /// claude-failover(1), in roff
    Man,
}

pub fn run(args: &Args) -> u8 {
    let mut command = Cli::command();
    match &args.what {
        What::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "claude-failover", &mut script);
            say::text(&consistent(&String::from_utf8_lossy(&script)));
        }
        What::Man => say::text(&man::page(command)),
    }
    exit::OK
}

/// For bash clap_complete writes the hyphen of our name in two ways, and completes nothing behind a verb
/// (github.com/clap-rs/clap/issues/6421).
fn consistent(script: &str) -> String {
    script.replace("claude__subcmd__failover", "claude__failover")
}
