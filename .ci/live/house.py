"""What the checks beside this file stand on: the users, their files, the units as they are shipped, and how
to look at all that. Run in the sandbox of .ci/units-live alone."""
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import threading
import time

GIVEN = pathlib.Path("/run/given")
UNITS = pathlib.Path("/units")
DAEMON, SERVER = "claude-failover.service", "claude-failover-tmux.service"
PROGRAM, AGENT = "/usr/local/bin/claude-failover", "/usr/local/bin/claude"
CONFIG = pathlib.Path("/etc/claude-failover/config.yaml")
TMUX = "/run/claude-failover-tmux/tmux.sock"
HOME = pathlib.Path("/home/claude")
SECRET = "a-secret-of-the-webhook"
SOON_S = 30

failed = []
begun = time.monotonic()


def check(what, holds, detail=""):
    print(f"{'ok    ' if holds else 'FAILED'} {what}" + (f": {detail}" if detail != "" else ""), flush=True)
    if not holds:
        failed.append(what)
    return holds


def run(*command, user=None, timeout=120, **options):
    if user:
        found = pwd.getpwnam(user)
        command = ["setpriv", f"--reuid={user}", f"--regid={found.pw_gid}", "--init-groups", *command]
        options.setdefault("env", {**os.environ, "HOME": found.pw_dir, "USER": user, "SHELL": "/bin/bash"})
    return subprocess.run([str(part) for part in command], text=True, capture_output=True, timeout=timeout, **options)


def done(*command, **options):
    ended = run(*command, **options)
    if ended.returncode != 0:
        raise SystemExit(f"{command}: exit {ended.returncode}: {ended.stdout}{ended.stderr}")
    return ended.stdout.strip()


def verb(*args, user="claude", **options):
    return run(PROGRAM, *args, user=user, **options)


def eventually(holds, within_s=SOON_S):
    """The first answer that is true, or the last."""
    end = time.monotonic() + within_s
    while True:
        answer = holds()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(0.05)


def shown(unit, *names):
    lines = done("systemctl", "show", unit, *[f"-p{name}" for name in names]).splitlines()
    values = dict(line.partition("=")[::2] for line in lines)
    return values[names[0]] if len(names) == 1 else [values[name] for name in names]


def main_pid(unit=DAEMON):
    return int(shown(unit, "MainPID"))


def status():
    ended = verb("status", "--json", "--runtime-dir", "/run/claude-failover")  # also beside a bad file
    try:
        return json.loads(ended.stdout)
    except ValueError:
        return {}


def started(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


def agents():
    """pid and start of every live agent."""
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            args = (entry / "cmdline").read_bytes().split(b"\0")
            if len(args) > 2 and args[1] == AGENT.encode() and args[2] not in (b"--version", b"--print"):
                parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
                found[int(entry.name)] = (started(entry.name), parent)
        except (OSError, IndexError):
            pass
    return {(pid, start) for pid, (start, parent) in found.items() if parent not in found}


def environment(pid):
    pairs = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().partition("=")[::2] for pair in pairs if pair)


def tmux(*args):
    return done("tmux", "-S", TMUX, *args, user="claude")


class Webhook(http.server.BaseHTTPRequestHandler):
    got = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Webhook.got.append((self.headers, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def is_signed(headers, body):
    return headers.get("X-Claude-Failover-Signature") == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def configuration(more=""):
    return f"""\
link: ~/.claude
accounts:
  - {{name: a, home: ~/.claude-a}}
  - {{name: b, home: ~/.claude-b}}
pool:
  shared_projects_dir: ~/.claude-projects-shared
  dedicated: [{{name: desk, project: {HOME}/work}}]
  autonomous: {{prefix: auto-, start_index: 1, min: 3, max: 3, workdir: {HOME}/work}}
agent:
  command: [{AGENT}, --dangerously-skip-permissions]
  env: {{DEMO_AGENT_LOG: {HOME}/agents.log}}
tmux: {{socket: {TMUX}, start_server: false}}
lifecycle: {{interval: 1s}}
dispatcher: {{projects_dir: /srv/projects, cooldown: 0s, per_project: 3}}
notifications: {{webhook: {{url: "http://127.0.0.1:9000/"}}}}
{more}"""


def settle(user):
    """A user with two accounts."""
    done("useradd", "--create-home", "--shell", "/bin/bash", user)
    place = pathlib.Path("/home", user)
    (place / "work").mkdir()
    for name in ["projects", "session-env", "file-history"]:
        (place / f".claude-{name}-shared").mkdir()
    trusted = {str(place / "work"): {"hasTrustDialogAccepted": True}}
    for name in ["a", "b"]:
        home = place / f".claude-{name}"
        home.mkdir()
        (home / ".claude.json").write_text(json.dumps({
            "hasCompletedOnboarding": True, "bypassPermissionsModeAccepted": True, "projects": trusted,
        }))
        (home / "settings.json").write_text('{"skipDangerousModePermissionPrompt": true, "tui": "default"}')
        (home / ".credentials.json").write_text("{}")
    (place / ".claude").symlink_to(place / ".claude-a")
    done("chown", "-hR", f"{user}:{user}", place)


def furnish():
    settle("claude")
    shutil.copy(GIVEN / "claude-failover", PROGRAM)
    shutil.copy(GIVEN / "agent", AGENT)
    os.chmod(AGENT, 0o755)
    inbox = pathlib.Path("/srv/projects/shop/.agent-queue/inbox")
    inbox.mkdir(parents=True)
    done("chown", "-hR", "claude:claude", "/srv/projects")
    CONFIG.parent.mkdir()
    CONFIG.write_text(configuration())
    (CONFIG.parent / "webhook_secret").write_text(SECRET + "\n")
    os.chmod(CONFIG.parent / "webhook_secret", 0o600)
    for unit in [DAEMON, SERVER]:
        shutil.copy(GIVEN / "systemd" / unit, UNITS)
    drop_in("secret", "[Service]\nLoadCredential=webhook_secret:/etc/claude-failover/webhook_secret\n")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def drop_in(name, text, unit=DAEMON):
    directory = UNITS / f"{unit}.d"
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.conf").write_text(text)
    done("systemctl", "daemon-reload")
