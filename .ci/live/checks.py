#!/usr/bin/env python3
"""What .ci/units-live looks at, as root in its sandbox, beside a systemd that is process 1.

It installs the shipped units as they are, a configuration, homes and scripted agents, and does to the
daemon what operators, updates and accidents do. Exits 1 if anything is not as the units and the README say.
"""
import os
import sys
import time

import system
import user
from house import begun, done, failed, furnish

os.environ["PATH"] = "/usr/local/bin:/usr/sbin:/usr/bin"
done("journalctl", "--flush")
furnish()
system.start()
before = system.occupy()
system.status_text()
system.reloads(before)
system.priorities()
system.accidents(before)
system.ends(before)
system.problems(before)
before = system.swap(before)
system.credentials(before)
system.restrictions()
system.results()
system.tmux_dies()
system.boot()
system.own_server()
user.all_of_it()
print(f"{len(failed)} failed, {time.monotonic() - begun:.0f} s")
for what in failed:
    print(f"FAILED {what}")
sys.exit(1 if failed else 0)
