#!/usr/bin/env python3
"""What a process may do where it runs, as JSON into the file of the first argument. .ci/units-live-checks
runs it with the daemon's restrictions, with none, and in a pane of the tmux server."""
import ctypes
import errno
import json
import os
import resource
import socket
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, PTRACE_TRACEME, ADDR_NO_RANDOMIZE = 0x10000000, 0, 0x0040000
found = {}


def attempt(name, act):
    try:
        found[name] = act() or "allowed"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
    except subprocess.SubprocessError as error:
        found[name] = str(error)


def call(function, *args):
    if function(*args) == -1:
        raise OSError(ctypes.get_errno(), "")


def in_child(function, *args):
    """What it does to a process stays with a child."""
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            call(function, *args)
        except OSError as error:
            code = error.errno
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, "")


def write(directory):
    path = f"{directory}/written-{os.getpid()}"
    with open(path, "w"):
        os.unlink(path)


def set_uid_bit():
    path = f"{os.environ['HOME']}/set-uid-{os.getpid()}"
    with open(path, "w"):
        pass
    try:
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)


def node():
    program = ("const os=require('os'),w=require('worker_threads');os.networkInterfaces();os.cpus();"
               "new w.Worker('1',{eval:true}).on('exit',()=>require('http').request({port:9000,method:'POST',"
               "headers:{'content-length':0}},r=>{console.log(r.statusCode);process.exit()}).end())")
    said = subprocess.run(["/usr/bin/node", "-e", program], text=True, capture_output=True, timeout=30)
    return said.stdout.strip() or said.stderr.strip() or f"exit {said.returncode}"


for place in ["/usr/probe", "/etc/probe", "/boot/probe", "/srv/projects", "/home/claude", "/tmp"]:
    attempt(f"write to {place}", lambda: write(place))
attempt("a set-uid program", lambda: subprocess.run(["/usr/local/bin/who-am-i", "-u"], text=True, capture_output=True).stdout.strip())
attempt("set the set-uid bit", set_uid_bit)
attempt("a device of the host", lambda: os.close(os.open("/dev/probe", os.O_RDONLY)))
attempt("a user namespace", lambda: in_child(libc.unshare, CLONE_NEWUSER))
attempt("ptrace", lambda: in_child(libc.ptrace, PTRACE_TRACEME, 0, 0, 0))
attempt("personality", lambda: in_child(libc.personality, ADDR_NO_RANDOMIZE))
attempt("a socket of AF_ALG", lambda: socket.socket(38, socket.SOCK_SEQPACKET).close())
attempt("a socket of AF_VSOCK", lambda: socket.socket(40, socket.SOCK_STREAM).close())
attempt("a socket of AF_NETLINK", lambda: socket.socket(16, socket.SOCK_RAW).close())
attempt("cgroups", lambda: "read only" if os.statvfs("/sys/fs/cgroup").f_flag & os.ST_RDONLY else "writable")
attempt("node", node)
for kind in ["mnt", "uts"]:
    attempt(f"namespace {kind}", lambda: os.readlink(f"/proc/self/ns/{kind}"))
found["umask"] = f"{os.umask(0):04o}"
found["core"] = "none" if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 else "some"
with open("/proc/self/status") as status:
    fields = dict(line.rstrip().split(":\t", 1) for line in status if ":\t" in line)
for name in ["NoNewPrivs", "Seccomp", "CapBnd", "CapEff"]:
    found[name] = fields[name]

with open(sys.argv[1] + ".new", "w") as file:
    json.dump(found, file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
