"""Gives up rights as the zygote does, and ends: do the walls of this level work here?

Started as `zygote.py` is, with the same settings, but without torch: a tenth of a
second. What it says is the zygote's first line.
"""

import json
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from grader.border.limits import Limits, address_space, lift_own_limit
from grader.worker.lockdown import Lockdown, close_child, lock_zygote
from grader.worker.plots import make_home


def main() -> None:
    """Lock this process, and one forked from it as for a test."""
    settings = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings["control"])
    lift_own_limit()
    make_home()
    lockdown = Lockdown(**settings["lockdown"])
    folders = [Path(settings["code"]), Path(settings["submission"]), Path.home()]
    in_use = address_space()
    missing = lock_zygote(lockdown, folders)
    os.chdir(settings["submission"])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            close_child(lockdown, Limits(**settings["limits"]), in_use)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("a test's process cannot be bounded")
    said = {"ready": True, "missing": missing, "cpu": 0.0}
    control.sendall(json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    main()
