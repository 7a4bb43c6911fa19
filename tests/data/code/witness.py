"""What a sandbox must keep from a snippet, and the host's view of whether it did: a snippet's own word is no proof."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psutil

PLACES = ("/", "/tmp", "/var/tmp", "/dev", "/dev/shm", "/root", "/usr/lib", "/usr/local/lib")  # noqa: S108
PATIENCE = 20.0  # seconds a process may take to disappear after its run; a machine may be busy


class Witness:
    """A folder with a secret, an open folder, sockets that listen and a process, all of which anyone may reach."""

    def __init__(self, user):
        self.user = user
        self.token, self.secret = "amalia" + secrets.token_hex(8), secrets.token_hex(16)
        self.folder = Path("/tmp") / f"{self.token}-witness"  # noqa: S108  # pytest's own folders are closed to others
        self.folder.mkdir(mode=0o755)
        self.secret_path, self.drop = self.folder / "secret", self.folder / "drop"
        self.secret_path.write_text(self.secret)
        self.secret_path.chmod(0o644)
        self.drop.mkdir()
        self.drop.chmod(0o777)
        self.sockets = self._listen()
        environment = {"SECRET": self.secret}
        self.victim = subprocess.Popen(["/bin/sleep", "1000"], env=environment, user=user, group=user)

    def _listen(self):
        tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        abstract, file, datagrams = (
            socket.socket(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)
        )
        abstract.bind(f"\0{self.token}")
        file.bind(f"{self.drop}.socket")
        Path(f"{self.drop}.socket").chmod(0o777)
        datagrams.bind(f"\0{self.token}-datagrams")
        for listener in (abstract, file):
            listener.listen()
        return {"tcp": tcp, "udp": udp, "abstract": abstract, "file": file, "datagrams": datagrams}

    def aim(self, code):
        """An attack at this witness."""
        words = {
            "SECRET_PATH": self.secret_path,
            "DROP": self.drop,
            "TOKEN": self.token,
            "TCP_PORT": self.sockets["tcp"].getsockname()[1],
            "UDP_PORT": self.sockets["udp"].getsockname()[1],
            "DATAGRAMS": f"{self.token}-datagrams",
            "ABSTRACT": self.token,
            "HOST_PID": self.victim.pid,
        }
        for word, value in words.items():
            code = code.replace(word, str(value))
        return code

    def evidence(self, outputs):
        """Every sign that something got out, in words.

        Args:
            outputs: What each snippet printed, by name.
        """
        found = [
            f"{name}: printed {what}"
            for name, output in outputs.items()
            for what in (self.secret, "root:x:0:")
            if what in output
        ]
        found += [f"{kind}: was reached" for kind, listener in self.sockets.items() if _reached(listener)]
        found += [f"{path}: was made" for place in PLACES for path in Path(place).glob(f"{self.token}*")]
        found = [line for line in found if not line.startswith(str(self.folder))]
        found += [f"{path}: was made" for path in self.drop.iterdir()]
        if not self.secret_path.is_file() or self.secret_path.read_text() != self.secret:
            found.append("the secret was changed")
        if self.victim.poll() is not None:
            found.append("the victim was ended")
        return found + [f"process {pid} survived" for pid in self._survivors()]

    def _survivors(self):
        suspects, deadline = self._suspects(), time.monotonic() + PATIENCE
        while suspects and time.monotonic() < deadline:
            time.sleep(0.05)
            suspects &= self._suspects()
        return suspects

    def _suspects(self):
        """Processes with our token, or of a snippet of our user; one that runs for others ends in time."""
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess):
                words = " ".join(process.cmdline())
                if self.token in words or ("/snippet.py" in words and process.uids().real in (self.user, 65534)):
                    found.add(process.pid)
        return found

    def close(self):
        for listener in self.sockets.values():
            listener.close()
        self.victim.kill()
        self.victim.wait()
        for pid in self._suspects():  # what a failing test, or one of the witness itself, left behind
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):  # it may end by itself meanwhile
                if self.token in " ".join(psutil.Process(pid).cmdline()):
                    os.kill(pid, 9)
        shutil.rmtree(self.folder)


def _reached(listener):
    listener.setblocking(False)
    try:
        if listener.type == socket.SOCK_DGRAM:
            return bool(listener.recv(100))
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True
