"""Whether this machine lets bubblewrap work at all, asked of bubblewrap itself and not of our code.

Where `CI` is set, it has to: its tests fail there without it, and are not skipped.
"""

import os
import shutil
import subprocess

import pytest


def _works():
    command = [shutil.which("bwrap"), "--unshare-all", "--unshare-user", "--disable-userns", "--ro-bind", "/", "/"]
    user = 65534 if os.geteuid() == 0 else None
    return command[0] is not None and not subprocess.run([*command, "true"], user=user, group=user).returncode


CI = bool(os.environ.get("CI"))
needs_bubblewrap = pytest.mark.skipif(
    not CI and not _works(),
    reason="bubblewrap is not installed (apt install bubblewrap) or user namespaces are blocked",
)
