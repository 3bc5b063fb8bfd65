"""The units for the whole system, in the hands of operators, updates and accidents."""
import json
import os
import pathlib
import pwd
import resource
import shutil
import time
import urllib.request

from house import (
    AGENT, CONFIG, DAEMON, HOME, PROGRAM, SERVER, SOON_S, TMUX, UNITS, Webhook, agents, check, configuration,
    done, drop_in, environment, eventually, is_signed, main_pid, run, shown, status, tmux, verb,
)

# Of each task: longer than all that is done to the daemon while they are at work.
WORK_S = 150


def start():
    begin = time.monotonic()
    ended = run("systemctl", "start", DAEMON)
    took = time.monotonic() - begin
    doors = verb("status").returncode in (0, 1) and urllib.request.urlopen("http://127.0.0.1:8765/health", timeout=5).status
    state = shown(DAEMON, "ActiveState", "SubState", "Type", "NotifyAccess")
    check("systemctl start returns when both doors are open", ended.returncode == 0 and doors == 200, f"{took:.2f} s {ended.stderr}")
    check("the unit is active by READY=1", state == ["active", "running", "notify", "main"], state)
    check("the tmux server was started beside it", shown(SERVER, "ActiveState") == "active")


def occupy():
    """One agent of the operator, three with tasks that outlive most of what follows."""
    eventually(lambda: len(status().get("sessions", [])) == 4 and all(row["exists"] for row in status()["sessions"]))
    tmux("send-keys", "-t", "=desk:", f"{AGENT} --dangerously-skip-permissions 'first words'", "Enter")
    for number in (1, 2, 3):
        said = verb("submit", "--project", "shop", "--id", f"t{number}", input=f"Task {number}\n\nwork {WORK_S}s\n")
        if said.returncode != 0:
            raise SystemExit(f"submit: {said.stderr}")
    talking = eventually(lambda: len(talks()) == 4 and talks())
    check("four agents are at work", talking and len(agents()) == 4, f"{talking}")
    return agents(), talking, tmux("display-message", "-p", "#{pid}")


def talks():
    rows = status().get("sessions", [])
    return {row["name"]: row["agent"]["conversation"] for row in rows if row["agent"] and row["agent"].get("conversation")}


def all_live_on(after, before):
    living, talking, server = before
    known = eventually(lambda: talks() == talking)
    holds = agents() == living and known and tmux("display-message", "-p", "#{pid}") == server
    check(f"{after}: the same tmux server, agents and conversations", holds, "" if holds else f"{agents()} {talks()}")


def priorities():
    entries = [json.loads(line) for line in done("journalctl", "-u", DAEMON, "-o", "json").splitlines()]
    own = [entry for entry in entries if entry.get("_EXE") == PROGRAM]
    by = {number: [e["MESSAGE"] for e in own if e.get("PRIORITY") == number] for number in "34567"}
    check("journald has the daemon's priorities", len(by["6"]) > 5 and len(by["3"]) + len(by["4"]) > 0,
          {number: len(lines) for number, lines in by.items() if lines})
    check("and no line that begins with one", not any(str(e["MESSAGE"]).startswith("<") for e in own))
    problems = [line for number in "34" for line in by[number] if "nonsense" in line]
    check("a refused reload is a warning or an error", problems != [], problems[:1])
    said = verb("logs", "-n", "3")
    check("`logs` shows the daemon's user its own log", said.returncode == 0 and len(said.stdout.splitlines()) >= 3)


def reloads(before):
    early, wrong, took = 0, 0, []
    for turn in range(10):
        bad = turn % 2 == 0
        CONFIG.write_text(configuration("nonsense: true\n" if bad else ""))
        begin = time.monotonic()
        ended = run("systemctl", "reload", DAEMON)
        took.append(time.monotonic() - begin)
        early += bool(status().get("config_problems")) != bad
        wrong += (ended.returncode != 0) != bad
    check("systemctl reload returns when the file is in force, and fails when it is refused, 10 times",
          early + wrong == 0, f"{early} early, {wrong} with a wrong exit code; at most {max(took):.2f} s")
    check("a refused reload leaves the unit active", shown(DAEMON, "ActiveState", "SubState") == ["active", "running"])
    changed = shown(DAEMON, "StateChangeTimestampMonotonic")
    os.kill(main_pid(), 1)
    check("a plain HUP is seen as a reload, too (RELOADING=1, READY=1)",
          eventually(lambda: shown(DAEMON, "StateChangeTimestampMonotonic") != changed and shown(DAEMON, "ActiveState") == "active"))
    done("systemctl", "daemon-reexec")
    fed = shown(DAEMON, "WatchdogTimestampMonotonic")
    check("a systemd that executes itself anew goes on with the daemon",
          eventually(lambda: shown(DAEMON, "WatchdogTimestampMonotonic") != fed, 15) and shown(DAEMON, "ActiveState") == "active")
    all_live_on("reloads", before)


def status_text():
    text = eventually(lambda: (text := shown(DAEMON, "StatusText")) and text.startswith("normal") and text)
    check("systemctl status has a line of state", text, text)


def comes_back(after, pid, within_s=SOON_S):
    begin = time.monotonic()
    back = eventually(lambda: main_pid() not in (0, pid) and shown(DAEMON, "ActiveState") == "active", within_s)
    check(f"{after}: started again", back, f"after {time.monotonic() - begin:.1f} s, NRestarts={shown(DAEMON, 'NRestarts')}")


def accidents(before):
    pid = main_pid()
    os.kill(pid, 9)
    comes_back("kill -9", pid)
    all_live_on("kill -9", before)
    pid = main_pid()
    os.kill(pid, 19)
    comes_back("a daemon that hangs (STOP)", pid, 30 + 5 + 10)
    said = done("journalctl", "-b", "-o", "cat", "--grep", "Watchdog timeout")
    check("by the watchdog", "claude-failover.service: Watchdog timeout (limit 30s)!" in said)
    all_live_on("the watchdog", before)


def ends(before):
    took = []
    for _ in range(5):
        begin = time.monotonic()
        done("systemctl", "restart", DAEMON)
        took.append(time.monotonic() - begin)
    check("five restarts under load, each in less than 5 s", max(took) < 5, f"at most {max(took):.2f} s each, to READY")
    all_live_on("five restarts", before)
    done("systemctl", "stop", DAEMON)
    check("systemctl stop: inactive, and a success", shown(DAEMON, "ActiveState", "Result") == ["inactive", "success"])
    check("the agents go on without it", agents() == before[0])
    start()
    all_live_on("stop and start", before)
    said = verb("stop")
    check("`claude-failover stop`", said.returncode == 0, said.stdout.strip() + said.stderr)
    eventually(lambda: shown(DAEMON, "ActiveState") == "inactive", 5)
    time.sleep(7)  # longer than RestartSec
    check("and it stays stopped", shown(DAEMON, "ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"])
    start()
    pid = main_pid()
    os.kill(pid, 15)
    os.kill(pid, 2)
    check("two signals at once end it, and that is clean", eventually(lambda: shown(DAEMON, "ActiveState", "Result") == ["inactive", "success"]),
          shown(DAEMON, "ExecMainStatus"))
    start()
    all_live_on("all ways to stop", before)


def problems(before):
    CONFIG.write_text(configuration("nonsense: true\n"))
    ended = run("systemctl", "restart", DAEMON)
    check("a bad configuration: the start fails with 78", ended.returncode == 1 and shown(DAEMON, "ExecMainStatus") == "78")
    text = shown(DAEMON, "StatusText")
    check("and systemctl status says why", "nonsense" in text, text)
    tries = int(shown(DAEMON, "NRestarts"))
    begin = time.monotonic()
    eventually(lambda: int(shown(DAEMON, "NRestarts")) >= tries + 2)
    check("it is tried again every 5 s", 8 < time.monotonic() - begin < 14, f"2 times in {time.monotonic() - begin:.1f} s")
    drop_in("quick", "[Service]\nRestartSec=200ms\n")
    check("and for ever: more often than systemd's usual limit (5)", eventually(lambda: int(shown(DAEMON, "NRestarts")) >= tries + 9),
          f"NRestarts={shown(DAEMON, 'NRestarts')}")
    (UNITS / f"{DAEMON}.d/quick.conf").unlink()
    done("systemctl", "daemon-reload")
    check("the agents go on meanwhile", agents() == before[0])
    CONFIG.write_text(configuration())
    comes_back("the configuration put right", 0)
    drop_in("wrong", "[Service]\nExecStart=\nExecStart=claude-failover run --nonsense\n")
    ended = run("systemctl", "restart", DAEMON)
    tries = shown(DAEMON, "NRestarts")
    time.sleep(7)  # longer than RestartSec
    state = shown(DAEMON, "ActiveState", "ExecMainStatus", "NRestarts")
    check("a wrong command line (64) is not tried again", ended.returncode == 1 and state == ["failed", "64", tries], state)
    (UNITS / f"{DAEMON}.d/wrong.conf").unlink()
    done("systemctl", "daemon-reload")
    start()
    second = verb("run")
    check("a second daemon ends with 75", second.returncode == 75, second.stderr.strip().splitlines()[-1])
    all_live_on("all that went wrong", before)


def swap(before):
    """All agents are refused and move, while the daemon is restarted and killed."""
    (HOME / ".claude-a/.demo-script").write_text(f"limit5h {int(time.time()) + 3600}\n")
    opened = eventually(lambda: (status().get("swap") or {}).get("open"))
    done("systemctl", "restart", DAEMON)
    pid = main_pid()
    os.kill(pid, 9)
    comes_back("kill -9 in the midst of a swap", pid)
    _, talking, server = before
    moved = eventually(lambda: (now := status()).get("active_account") == "b" and not now["swap"]["open"] and talks() == talking, 60)
    check("a swap under a restart and a kill: all are on the other account, in the same conversations",
          opened and moved and tmux("display-message", "-p", "#{pid}") == server, f"{opened and opened.get('phase')} {talks()}")
    check("the link names it, and there are four agents", (HOME / ".claude").readlink() == HOME / ".claude-b" and len(agents()) == 4)
    return agents(), talking, server


def credentials(before):
    signed = [is_signed(headers, body) for headers, body in Webhook.got if body]
    check("LoadCredential reaches the notifier: every message is signed with it", signed and all(signed), f"{len(signed)} messages")
    check("one of them tells of the start after a crash", any(b"crash" in body or b"did not stop cleanly" in body for _, body in Webhook.got),
          [json.loads(body)["subject"] for _, body in Webhook.got if body][:4])
    names = {name for pid, _ in before[0] for name in environment(pid)}
    leaked = sorted(names & {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "INVOCATION_ID", "JOURNAL_STREAM",
                             "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "SYSTEMD_EXEC_PID",
                             "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE"})
    check("no agent has a variable of systemd's", leaked == [], leaked)
    place = f"/run/credentials/{DAEMON}/webhook_secret"
    check("another user cannot read the credential", run("cat", place, user="nobody").returncode != 0)
    print(f"       (the agents, the same user as the daemon, {'can' if run('cat', place, user='claude').returncode == 0 else 'cannot'})")


def probed(name, *command):
    target = HOME / f"probe-{name}.json"
    said = run(*[part.replace("PROBE", f"/run/given/live/probe.py {target}") for part in command])
    if not eventually(target.exists):
        raise SystemExit(f"the probe {name} said nothing: {said.stderr} {done('journalctl', '-n', '20', '-o', 'cat')}")
    return json.loads(target.read_text())


def restrictions():
    os.makedirs("/boot", exist_ok=True)
    for place in ["/usr/probe", "/etc/probe", "/boot/probe"]:
        os.mkdir(place)
        shutil.chown(place, "claude")
    shutil.copy("/usr/bin/id", "/usr/local/bin/who-am-i")
    os.chmod("/usr/local/bin/who-am-i", 0o4755)
    os.mknod("/dev/probe", 0o666 | 0o020000, os.makedev(1, 3))
    os.chmod("/dev/probe", 0o666)
    unit = (UNITS / DAEMON).read_text()
    hardening = unit[unit.index("\n# Hardening"):unit.index("\n[Install]")] + "\nUMask=0077\nLimitCORE=0\n"
    for name, more in [("hardened", hardening), ("plain", "")]:
        (UNITS / f"probe-{name}.service").write_text(
            f"[Service]\nUser=claude\nType=oneshot\nExecStart=/usr/bin/python3 /run/given/live/probe.py {HOME}/probe-{name}.json\n{more}")
    done("systemctl", "daemon-reload")
    plain = probed("plain", "systemctl", "start", "probe-plain.service")
    hard = probed("hardened", "systemctl", "start", "probe-hardened.service")
    pane = probed("pane", "tmux", "-S", TMUX, "new-window", "-d", "-t", "=desk:", "/usr/bin/python3 PROBE")
    for name in plain:
        print(f"       {name}: {plain[name]} | in a pane: {pane[name]} | as the daemon: {hard[name]}")
    for place in ["/usr/probe", "/etc/probe", "/boot/probe"]:
        check(f"as the daemon, {place} cannot be written", (plain[f"write to {place}"], hard[f"write to {place}"]) == ("allowed", "EROFS"))
    for name, of_plain, of_hard in [
        ("a set-uid program", "0", str(pwd.getpwnam("claude").pw_uid)), ("set the set-uid bit", "allowed", "EPERM"),
        ("a device of the host", "allowed", "ENOENT"), ("ptrace", "allowed", "EPERM"), ("personality", "allowed", "EPERM"),
        ("cgroups", "writable", "read only"), ("NoNewPrivs", "0", "1"), ("Seccomp", "0", "2"),
    ]:
        check(f"as the daemon, {name}: {of_hard}", (plain[name], hard[name]) == (of_plain, of_hard), f"otherwise {plain[name]}")
    check("as the daemon, no user namespace and no capability", hard["a user namespace"] == "EPERM" and int(hard["CapBnd"], 16) == 0)
    check("as the daemon, no other family of sockets", "EAFNOSUPPORT" in (hard["a socket of AF_ALG"], hard["a socket of AF_VSOCK"]))
    check("as the daemon, no core, and files of its own", (hard["core"], hard["umask"]) == ("none", "0077"))
    check("as the daemon, mounts and host name of its own", all(hard[f"namespace {kind}"] != plain[f"namespace {kind}"] for kind in ["mnt", "uts"]))
    for name in ["write to /srv/projects", "write to /home/claude", "write to /tmp", "a socket of AF_NETLINK"]:
        check(f"as the daemon, {name}: allowed", hard[name] == "allowed")
    check("as the daemon, Node.js runs, with threads and the network", hard["node"] == "200", hard["node"])
    check("the daemon is as restricted as the probe", all(
        field in pathlib.Path(f"/proc/{main_pid()}/status").read_text() for field in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"]))
    differs = {name: (plain[name], pane[name]) for name in plain if plain[name] != pane[name]}
    check("an agent may do what its user may", differs == {}, differs)
    for unit, files in [(SERVER, 65536), (DAEMON, 8192)]:
        limits = pathlib.Path(f"/proc/{main_pid(unit)}/limits").read_text()
        most = min(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # root of some hosts may not go higher
        check(f"{unit} may open {most} files", f"{most} {most} files" in " ".join(limits.split()))


def results():
    done_dir = pathlib.Path("/srv/projects/shop/.agent-queue/done")
    names = eventually(lambda: len(names := sorted(path.name for path in done_dir.glob("t?.md"))) == 3 and names, WORK_S + SOON_S)
    told = [line.split()[::4] for line in (HOME / "agents.log").read_text().splitlines() if not line.endswith(" resumed")]
    expected = sorted([f"t{number}", what] for number in (1, 2, 3) for what in ("received", "done"))
    check("each task was received once and done once, through all of it", names and sorted(told) == expected, told)


def tmux_dies():
    talking = talks()
    pid = main_pid(SERVER)
    os.kill(pid, 9)
    check("kill -9 of the tmux server: started again", eventually(lambda: main_pid(SERVER) not in (0, pid)))
    back = eventually(lambda: talks().get("desk") == talking["desk"] and len(status()["sessions"]) == 4)
    check("the sessions are back, and the operator's conversation in its own", back, talks())
    check("the daemon has not ended for it", shown(DAEMON, "ActiveState") == "active")


def boot():
    """What a boot is to the units: all processes and /run are gone, and the target wants what is enabled."""
    talking = talks()["desk"]
    done("systemctl", "stop", DAEMON, SERVER)
    check("systemctl stop of the tmux server ends the agents", eventually(lambda: agents() == set()))
    for directory in ["claude-failover", "claude-failover-tmux"]:
        shutil.rmtree(f"/run/{directory}")
    done("systemctl", "enable", DAEMON, SERVER)
    done("systemctl", "start", "multi-user.target")
    check("enabled: started at a boot", eventually(lambda: [shown(unit, "ActiveState") for unit in (DAEMON, SERVER)] == ["active"] * 2))
    check("and the operator's conversation is resumed", eventually(lambda: talks().get("desk") == talking), talks())
    found = json.loads(verb("doctor", "--json").stdout)["checks"]
    bad = [f"{row['check']}: {row['what']}" for row in found if row["verdict"] == "fail"]
    check("doctor finds nothing that will not work", len(found) > 20 and bad == [], bad)


def own_server():
    """A tmux server that the daemon had to start itself is in the daemon's unit."""
    done("systemctl", "stop", DAEMON, SERVER)
    text = configuration().replace(f"socket: {TMUX}, start_server: false", f"socket: {HOME}/tmux.sock, start_server: true")
    CONFIG.write_text(text)
    start()
    asked = ["tmux", "-S", HOME / "tmux.sock"]
    eventually(lambda: run(*asked, "has-session", "-t", "=desk:", user="claude").returncode == 0)
    done(*asked, "send-keys", "-t", "=desk:", f"{AGENT} --dangerously-skip-permissions 'first words'", "Enter", user="claude")
    talking = eventually(lambda: talks().get("desk") and talks())
    living, server = agents(), done(*asked, "display-message", "-p", "#{pid}", user="claude")
    done("systemctl", "restart", DAEMON)
    pid = main_pid()
    os.kill(pid, 9)
    comes_back("with a tmux server of the daemon's own, kill -9", pid)
    same = eventually(lambda: talks() == talking) and agents() == living
    check("restart and kill -9 ended neither that server nor its agents",
          same and len(living) == 1 and done(*asked, "display-message", "-p", "#{pid}", user="claude") == server)
    limits = pathlib.Path(f"/proc/{list(living)[0][0]}/status").read_text()
    check("but the unit's restrictions are theirs (the README says so)", "NoNewPrivs:\t1" in limits and "Seccomp:\t2" in limits)
    done("systemctl", "stop", DAEMON)
    done(*asked, "kill-server", user="claude")
    check("its agents end with their server", eventually(lambda: agents() == set()))
