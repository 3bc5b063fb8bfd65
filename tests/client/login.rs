//! `auth status` of the real client, as `init` and `doctor` ask it.

use claude_failover::config::Config;
use claude_failover::config::load::load;
use claude_failover::preflight::login::{Home, Login, SINCE, login};

use crate::agent::PATIENCE;
use crate::failover::write_config;
use crate::rig::Rig;
use crate::support::{PrivateTmux, eventually};

fn ask(rig: &Rig, config: &Config, account: &str) -> Login {
    login(config, &rig.client(), SINCE, Home::Named(&rig.home(account)))
}

#[test]
fn a_login_is_there_or_not_or_refreshed_or_lost_while_it_is_asked_for() {
    let (rig, tmux) = (Rig::up(), PrivateTmux::new());
    let path = write_config(&rig, &tmux, &rig.work("login"), &["login0"]);
    let config = load(&path).unwrap().config;
    let trusted = rig.work("login");
    for (account, more, scenario, is_in) in [
        ("login1", &[][..], &["ok"][..], true),
        ("login2", &["--no-creds"], &["ok"], false),
        ("login3", &["--expired"], &["ok"], true),
    ] {
        rig.log_in_with(account, &trusted, more);
        rig.answer(account, scenario);
        let email = format!("acct{account}@example.invalid");
        let expected = if is_in { Login::In(Some(email)) } else { Login::Out };
        assert_eq!(ask(&rig, &config, account), expected, "{account}");
        assert_eq!(ask(&rig, &config, account), expected, "{account}, asked again");
    }
    if !rig.is_exact() {
        // 2.1.250 tells neither of a refresh that was refused nor of a state file that it cannot read.
        return;
    }
    // The client may have ended before the refresh was refused: then it is the next one that knows.
    rig.log_in_with("login4", &trusted, &["--expired"]);
    rig.answer("login4", &["err401_oauth", "refresh=deny"]);
    eventually("the refused refresh is known", PATIENCE, || {
        (ask(&rig, &config, "login4") == Login::Out).then_some(())
    });
    std::fs::write(rig.home("login1").join(".claude.json"), "{").unwrap();
    let Login::Unknown(why) = ask(&rig, &config, "login1") else { panic!("it cannot know") };
    assert!(why.contains(".claude.json is corrupted"), "{why}");
}
