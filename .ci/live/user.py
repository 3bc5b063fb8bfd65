"""The units for a service manager of a user's own."""
import json
import os
import pathlib
import pwd
import shutil

from house import (
    AGENT, DAEMON, GIVEN, PROGRAM, SECRET, SERVER, UNITS, Webhook, agents, check, done, environment,
    eventually, is_signed, run, settle,
)


class Person:
    """A user with a service manager, our units in it, and a configuration."""

    def __init__(self, name):
        settle(name)
        own = pwd.getpwnam(name)
        self.name, self.uid = name, own.pw_uid
        self.place, self.runtime = pathlib.Path(own.pw_dir), pathlib.Path(f"/run/user/{own.pw_uid}")
        self.config = self.place / ".config/claude-failover/config.yaml"
        self.tmux = ["tmux", "-S", self.runtime / "claude-failover-tmux/tmux.sock"]
        self.furnish()
        done("systemctl", "daemon-reload")
        done("systemctl", "start", f"user@{self.uid}.service")

    def furnish(self):
        units = self.place / ".config/systemd/user"
        units.mkdir(parents=True)
        self.runtime.mkdir(parents=True, mode=0o700)
        for unit in [DAEMON, SERVER]:
            shutil.copy(GIVEN / "systemd/user" / unit, units)
        for name in ["basic", "default", "shutdown"]:
            (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\nDefaultDependencies=no\n")
        (units / f"{DAEMON}.d").mkdir()
        (units / f"{DAEMON}.d/secret.conf").write_text(
            "[Service]\nLoadCredential=webhook_secret:%E/claude-failover/webhook_secret\n")
        self.config.parent.mkdir()
        self.config.write_text(self.configuration())
        secret = self.config.parent / "webhook_secret"
        secret.write_text(SECRET)
        os.chmod(secret, 0o600)
        done("chown", "-hR", f"{self.name}:{self.name}", self.place, self.runtime)
        (UNITS / "user@.service").write_text(f"""\
[Service]
User=%i
Type=notify
ExecStart=/lib/systemd/systemd --user
Environment=XDG_RUNTIME_DIR=/run/user/%i SYSTEMD_UNIT_PATH={units}
Slice=user-%i.slice
KillMode=mixed
Delegate=yes
TasksMax=infinity
""")

    def configuration(self):
        return f"""\
accounts: [{{name: a, home: ~/.claude-a}}, {{name: b, home: ~/.claude-b}}]
pool: {{shared_projects_dir: ~/.claude-projects-shared, dedicated: [{{name: desk, project: {self.place}/work}}]}}
agent: {{command: [{AGENT}, --dangerously-skip-permissions]}}
state_dir: ~/.local/state/claude-failover
runtime_dir: {self.runtime}/claude-failover
tmux: {{socket: {self.runtime}/claude-failover-tmux/tmux.sock, start_server: false}}
lifecycle: {{interval: 1s}}
dispatcher: {{projects_dir: {self.place}/work}}
http: {{listen: "127.0.0.1:8766"}}
notifications: {{webhook: {{url: "http://127.0.0.1:9000/"}}}}
"""

    def ask(self, *command):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.place), "XDG_RUNTIME_DIR": str(self.runtime),
               "LANG": "C.UTF-8", "SHELL": "/bin/bash"}
        return run(*command, user=self.name, env=env)

    def systemctl(self, *args):
        return self.ask("systemctl", "--user", *args)

    def shown(self, name, unit=DAEMON):
        return self.systemctl("show", unit, "--value", f"-p{name}").stdout.strip()

    def restrictions(self, unit):
        lines = pathlib.Path(f"/proc/{self.shown('MainPID', unit)}/status").read_text().splitlines()
        return [line.partition("\t")[2] for line in lines if line.startswith(("NoNewPrivs:", "Seccomp:"))]

    def talk(self):
        """The conversation at the desk."""
        text = self.ask(PROGRAM, "status", "--json", "--config", self.config).stdout
        rows = json.loads(text or "{}").get("sessions", [])
        return next((row["agent"]["conversation"] for row in rows if row["agent"] and row["agent"].get("conversation")), None)


def all_of_it():
    """The manager is started without PAM and logind, so that linger is not looked at."""
    told = len(Webhook.got)
    person = Person("person")
    said = person.systemctl("start", DAEMON)
    state = [person.shown("ActiveState"), person.shown("Type"), person.shown("ActiveState", SERVER)]
    check("user unit: started, active by READY=1, the tmux server beside it",
          said.returncode == 0 and state == ["active", "notify", "active"], said.stderr)
    eventually(lambda: person.ask(*person.tmux, "has-session", "-t", "=desk:").returncode == 0)
    person.ask(*person.tmux, "send-keys", "-t", "=desk:", f"{AGENT} --dangerously-skip-permissions 'first words'", "Enter")
    conversation, living = eventually(person.talk), agents()
    check("user unit: an agent is at work", conversation and len(living) == 1)

    good = person.systemctl("reload", DAEMON)
    person.config.write_text(person.configuration() + "nonsense: true\n")
    bad = person.systemctl("reload", DAEMON)
    person.config.write_text(person.configuration())
    check("user unit: reload, and one that is refused",
          (good.returncode, bad.returncode, person.shown("ActiveState")) == (0, 1, "active"), good.stderr)

    pid = person.shown("MainPID")
    os.kill(int(pid), 9)
    back = eventually(lambda: person.shown("MainPID") not in ("0", pid) and person.shown("ActiveState") == "active")
    again = person.systemctl("restart", DAEMON)
    check("user unit: kill -9 and a restart ended no agent", back and again.returncode == 0
          and eventually(lambda: person.talk() == conversation) and agents() == living, again.stderr)
    check("user unit: the daemon is restricted, the agents are not",
          (person.restrictions(DAEMON), person.restrictions(SERVER)) == (["1", "2"], ["0", "0"]))
    names = set(environment(list(living)[0][0]))
    check("user unit: the agent has no variable of systemd's",
          not names & {"MANAGERPID", "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM"})
    check("user unit: LoadCredential reaches the notifier", eventually(lambda: any(
        json.loads(body)["subject"].startswith("Warning: The daemon is up again") and is_signed(headers, body)
        for headers, body in Webhook.got[told:] if body)))
    logs = person.ask(PROGRAM, "logs", "-n", "200", "--config", person.config)
    check("user unit: `logs`", "daemon started" in logs.stdout)
    check("user unit: stop, and the agent goes on", person.systemctl("stop", DAEMON).returncode == 0 and agents() == living)
