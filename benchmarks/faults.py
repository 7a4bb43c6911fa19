"""Faults at random moments in every command that writes, and what the same command makes of it afterwards.

Each command runs undisturbed once. Then it is killed with -9 (alone or with all it started, at any moment or while
names change on the disk), meets a full disk (a small tmpfs; where none can be mounted, a limit on the size of files),
finds its checkpoints damaged, or meets itself in the same output. It is run again until it ends. Whatever was whole
before must have stayed (else it is lost), bytes and weights in the end must be those of the undisturbed run (else they
are different), and each run that ends by itself must say why in one last line, without a traceback.

Processes are forked from this one, which has everything imported: `--faults 1000 --seed 7 --only train` for a night.
"""

import argparse
import contextlib
import gc
import json
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # servers and tiny models are the tests' own
os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
os.environ |= {"DS_ACCELERATOR": "cpu", "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "1"}

import accelerate.commands.launch
import psutil
import torch
from huggingface_hub import constants
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from amalia_vl_hf import cli
from tests.commands.writing import SAVE_STEPS, STEPS, Command, commands, write_models
from tests.conversion.publishing.hub_server import TOKEN
from tests.forked import forked
from tests.samples.picture_server import PictureServer

COMMANDS = (  # modules that commands import when they run: here, before the forks
    *("conversion.compose", "conversion.llava_next", "conversion.publishing.hub", "data.building.run"),
    *("evaluation.backends", "evaluation.run", "samples.fetch", "training.run"),
)
LONGEST = 300.0  # s; a run that takes longer hangs
POLL = 0.002  # s
WEIGHTS = {"kill": 3, "full": 2, "damage": 2, "twice": 1}  # faults of each kind, in proportion
ROOM = 1 << 28  # bytes of a tmpfs with room for everything
COLUMNS = "{:<22}{:>7}{:>6}{:>11}{:>22}{:>8}"


class Run(NamedTuple):
    """A process that runs a command, and the file of all that it says."""

    process: int
    log: Path


class Reference(NamedTuple):
    """An undisturbed run."""

    files: dict[str, Hashable]
    seconds: float
    changes: int  # of the names on the disk, as far as they were seen
    peak: int  # bytes on the disk
    largest: int  # bytes of a file in the end


@dataclass
class Tally:
    """What became of the faults of one kind."""

    faults: int = 0
    lost: int = 0
    different: int = 0
    unclear: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def judge(self, what: str, wrong: bool, note: object) -> None:
        """Count a fault that went wrong."""
        if wrong:
            setattr(self, what, getattr(self, what) + 1)
            self.notes.append(f"{what}: {note}")


# Running a command, and looking at it.


def start(words: Sequence[str], log: Path, limit: int | None = None) -> Run:
    """Run a command in a fork of this process; no file of it may grow beyond the limit, in bytes."""

    def work() -> int:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with mock.patch.object(accelerate.commands.launch, "launch_command", launch_forked):
            try:
                return cli.main(words)
            finally:
                sys.stdout.flush()

    sys.stdout.flush()
    return Run(forked(work), log)


def launch_forked(arguments: argparse.Namespace) -> None:
    """Start ranks as torch's launcher does for accelerate, but as forks; it watches them as it always does."""
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)  # logs of forks only
    words = arguments.training_script_args

    def rank() -> None:
        code = cli.main(words)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code) if code else None

    config = LaunchConfig(1, 1, arguments.num_processes, DefaultLogsSpecs(), max_restarts=0, start_method="fork")
    config.rdzv_backend, config.rdzv_endpoint, config.run_id = "c10d", "127.0.0.1:0", str(os.getpid())
    elastic_launch(config, rank)()


def ended(run: Run) -> int | None:
    """Give the exit code, or None while it runs; a process that was ended by a signal has the negative one."""
    done, status = os.waitpid(run.process, os.WNOHANG)
    if not done:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.process, signal.SIGKILL)  # its workers, which would end by themselves after seconds
    return os.waitstatus_to_exitcode(status)


def finish(run: Run) -> int:
    """Wait for a run; one that hangs is killed."""
    deadline = time.monotonic() + LONGEST
    while (code := ended(run)) is None:
        if time.monotonic() > deadline:
            os.killpg(run.process, signal.SIGKILL)
            os.waitpid(run.process, 0)
            return -signal.SIGKILL
        time.sleep(0.02)
    return code


def await_group(run: Run) -> None:
    """Wait for what a killed run had started, for as long as its workers take to see that they are alone."""
    deadline = time.monotonic() + 20
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(run.process, 0)
            time.sleep(0.05)


def last_line(log: Path) -> str:
    """Give the last line that a run said."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def is_clear(run: Run, code: int) -> bool:
    """Whether a run that ended by itself said why in its last line, and nothing in a traceback."""
    if "Traceback (most recent call last)" in run.log.read_text(encoding="utf-8", errors="replace"):
        return False
    return code == 0 or (code > 0 and last_line(run.log).startswith("amalia-vl: "))


def names(place: Path) -> frozenset[str]:
    """List all names below a place; what goes while they are listed is left out."""
    return frozenset(os.path.join(top, name) for top, _, files in os.walk(place) for name in (*files, ""))  # noqa: PTH118


# The faults.


@contextmanager
def mounted(place: Path) -> Iterator[bool]:
    """Give a place a disk of its own, and say whether that could be done; only root may."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "faults", str(place)]
    done = bool(shutil.which("mount")) and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def resize(place: Path, size: int) -> None:
    """Change the size of a place's own disk, in bytes."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)


class Trial:
    """One command, put to its faults.

    Args:
        command: What is run.
        folder: Of its places; those where something went wrong stay.
        rng: What is drawn.
    """

    def __init__(self, command: Command, folder: Path, rng: random.Random) -> None:
        self.command, self.folder, self.rng, self.places = command, folder, rng, 0
        self.reference = self.undisturbed()

    @contextmanager
    def place(self) -> Iterator[Path]:
        """Give a new place, which goes in the end, with all processes that outlived theirs."""
        self.places += 1
        place = self.folder / self.command.name.replace(" ", "_") / str(self.places)
        place.mkdir(parents=True)
        with self.command.around(place):
            yield place
        shutil.rmtree(place)

    def start(self, place: Path, name: str, limit: int | None = None) -> Run:
        """Run the command in a place."""
        log = place.parent / f"{place.name}.{name}.log"
        log.unlink(missing_ok=True)
        return start(self.command.words(place / "out", self.rng), log, limit)

    def undisturbed(self) -> Reference:
        """Run twice, which must give the same files; the second tells how long it takes on warm caches."""
        seen: list[Reference] = []
        for _ in range(2):
            with self.place() as place, mounted(place / "disk"):
                began, changes, peak, before = time.monotonic(), 0, 0, names(place)
                run = self.start(place / "disk", "whole")
                while (code := ended(run)) is None:
                    changes, before = changes + ((now := names(place)) != before), now
                    disk = os.statvfs(place / "disk")
                    peak = max(peak, (disk.f_blocks - disk.f_bfree) * disk.f_frsize)
                    time.sleep(POLL)
                if code != 0:
                    raise RuntimeError(f"{self.command.name} fails undisturbed: {last_line(run.log)}; see {run.log}")
                sizes = [path.stat().st_size for path in (place / "disk").rglob("*") if path.is_file()]
                largest = max(sizes, default=0)
                files = self.command.files(place / "disk" if self.command.name != "push" else place)
                seen.append(Reference(files, time.monotonic() - began, changes, peak, largest))
        if seen[0].files != seen[1].files:
            raise RuntimeError(
                f"{self.command.name} gives other files each time: {difference(*(s.files for s in seen))}"
            )
        return seen[1]

    def end(self, place: Path, tally: Tally, what: str, before: set[Hashable], name: str = "again") -> Run:
        """Run the command to its end, and hold what it wrote to the undisturbed run."""
        run, code, said = Run(0, place), 0, f"{self.command.name}, {what}"
        if self.command.again or not (place / "out").exists():
            run = self.start(place, name)
            code = finish(run)
            said += f": rc {code}, {last_line(run.log)!r} ({run.log})"
            tally.judge("lost", code != 0, said)
            tally.judge("unclear", not is_clear(run, code), said)
        if code == 0:
            files = self.command.files(place)
            tally.judge(
                "different", files != self.reference.files, f"{said} {difference(self.reference.files, files)}"
            )
            tally.judge("lost", not before <= self.command.kept(place), f"{said} what was whole is gone")
        return run

    # Each fault does at most `count` of its kind, and at least one.

    def kill(self, count: int, tally: Tally) -> None:
        """Kill the command a few times in one place, and let it end."""
        with self.place() as place:
            before, killed = set[Hashable](), 0
            for number in range(min(count, 4)):
                run = self.start(place, f"kill{number}")
                victim = self._kill_at_a_moment(run, place, tally)
                if victim is None:
                    break
                killed += 1
                kept = self.command.kept(place)
                tally.judge("lost", not before <= kept, f"{self.command.name}: what was whole is gone, {run.log}")
                before = kept
            tally.faults += killed
            self.end(place, tally, f"{killed} kills", before)

    def _kill_at_a_moment(self, run: Run, place: Path, tally: Tally) -> str | None:
        """Kill a run, with what it started, alone, or one that it started; None where it ended before."""
        reference, began, seen, changes = self.reference, time.monotonic(), names(place), 0
        by_change = self.rng.random() < 0.5
        moment = self.rng.uniform(0, reference.seconds)
        change, delay = self.rng.randrange(1 + reference.changes), self.rng.uniform(0, 0.02)  # s
        while (code := ended(run)) is None:
            if by_change:
                changes, seen = changes + ((now := names(place)) != seen), now
            if changes > change or (not by_change and time.monotonic() - began > moment):
                break
            time.sleep(POLL)
        if code is not None:
            said = f"{self.command.name}, ended by itself: rc {code}, {last_line(run.log)!r} ({run.log})"
            tally.judge("lost", code != 0 and self.command.again, said)
            tally.judge("unclear", not is_clear(run, code), said)
            return None
        time.sleep(delay)
        started = psutil.Process(run.process).children(recursive=True)
        victim = self.rng.choice(("all", "alone", "child") if started else ("all", "alone"))
        if victim == "child":
            with contextlib.suppress(psutil.NoSuchProcess):
                self.rng.choice(started).kill()
            code = finish(run)
            said = f"{self.command.name}, a child killed: rc {code}, {last_line(run.log)!r} ({run.log})"
            tally.judge("unclear", not is_clear(run, code), said)
            return victim
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if victim == "all" else os.kill)(run.process, signal.SIGKILL)
        os.waitpid(run.process, 0)
        if victim == "alone" and "ranks" in self.command.name:
            await_group(run)  # ranks watch who started them, and go
        return victim

    def full(self, count: int, tally: Tally) -> None:
        """Let the disk be full midway, and make room."""
        with self.place() as place, mounted(place / "disk") as real:
            disk, code, share = place / "disk", 0, self.rng.uniform(0.1, 0.95)
            while code == 0:  # the disk was large enough: it peaks for a moment only
                shutil.rmtree(disk / "out", ignore_errors=True)
                if real:
                    resize(disk, max(4096, int(share * self.reference.peak) // 4096 * 4096))
                run = self.start(disk, "full", None if real else int(share * self.reference.largest))
                code = finish(run)
                if code == 0:
                    tally.judge("different", self.command.files(disk) != self.reference.files, f"{run.log}, rc 0")
                share *= 0.7
            tally.faults += 1
            line = last_line(run.log)
            clear = is_clear(run, code) and ("disk is full" in line or "GB free" in line)
            tally.judge("unclear", not clear, f"{self.command.name}, full disk: rc {code}, {line!r} ({run.log})")
            if real:
                resize(disk, ROOM)
            self.end(disk, tally, "after a full disk", self.command.kept(disk))

    def damage(self, count: int, tally: Tally) -> None:
        """Kill the command, damage a file of its newest checkpoint, and let it end."""
        with self.place() as place:
            run, moment = self.start(place, "stopped"), self.rng.randrange(2, STEPS // SAVE_STEPS)
            while (code := ended(run)) is None and max(self.command.kept(place)) < moment * SAVE_STEPS:
                time.sleep(POLL)
            if code is not None:
                return
            os.killpg(run.process, signal.SIGKILL)
            os.waitpid(run.process, 0)
            steps = [path.parent for path in (place / "out.partial").glob("checkpoint-*/complete")]
            newest = max(steps, key=lambda path: int(path.name.split("-")[1]))
            file = self.rng.choice(sorted(path for path in newest.rglob("*") if path.is_file()))
            how = self.rng.choice(("half", "empty", "flip", "gone"))
            damage_file(file, how, self.rng)
            tally.faults += 1
            what = f"{newest.name}/{file.name} {how}"
            again = self.end(place, tally, what, set())
            said = again.log.read_text(encoding="utf-8", errors="replace")
            named = f"{newest.name} is damaged" in said and list(place.glob(f"out.damaged-{newest.name}*"))
            tally.judge(
                "unclear", not named, f"{self.command.name}, {what}: not named, or not left aside ({again.log})"
            )

    def twice(self, count: int, tally: Tally) -> None:
        """Run the command twice at once in one place."""
        with self.place() as place:
            first = self.start(place, "first")
            time.sleep(self.rng.uniform(0, self.reference.seconds))
            second = self.start(place, "second")
            codes = {run: finish(run) for run in (first, second)}
            tally.faults += 1
            said = "; ".join(f"rc {code}, {last_line(run.log)!r}" for run, code in codes.items())
            tally.judge("lost", 0 not in codes.values(), f"{self.command.name}, two at once: {said} ({first.log})")
            clear = all(is_clear(run, code) for run, code in codes.items())
            tally.judge("unclear", not clear, f"{self.command.name}, two at once: {said} ({first.log})")
            self.end(place, tally, f"two at once ({said})", self.command.kept(place))


def damage_file(file: Path, how: str, rng: random.Random) -> None:
    """Halve a file, empty it, flip a bit of it, or remove it."""
    content = bytearray(file.read_bytes())
    if how == "gone" or not content:
        file.unlink()
    elif how == "flip":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2 if how == "half" else 0])


def difference(one: dict[str, Hashable], other: dict[str, Hashable]) -> str:
    """Name what two runs wrote differently."""
    return ", ".join(sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key)))[:300]


# The script.


def planned(chosen: Sequence[Command], faults: int, only: str) -> Counter[tuple[str, str]]:
    """Share faults among the kinds, each a command and a fault."""
    most = max(WEIGHTS.values())
    kinds = [
        (command.name, fault)
        for turn in range(most)
        for command in chosen
        for fault in command.faults
        if turn < WEIGHTS[fault] and only in f"{command.name} {fault}"
    ]
    if not kinds:
        raise SystemExit(f"no kind of fault has {only!r} in its name")
    return Counter(islice(cycle(kinds), faults))


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of what is drawn (%(default)s)")
    parser.add_argument("--only", default="", metavar="KIND", help="part of a kind's name: train, kill, 'push twice'")
    return parser.parse_args()


def main() -> None:
    """Run all and print what came out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that no disk stays mounted
    for name in COMMANDS:
        import_module(f"amalia_vl_hf.{name}")
    arguments, tallies, began = parsed(), dict[str, Tally](), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    if finish(Run(forked(lambda: write_models(folder)), folder / "none")) != 0:
        raise SystemExit("the tiny models could not be written")
    os.environ["HF_TOKEN"] = TOKEN
    gc.freeze()
    print(COLUMNS.format("kind", "faults", "lost", "different", "without a clear line", "s"), flush=True)
    with PictureServer() as pictures, mock.patch.object(constants, "HF_HUB_OFFLINE", False):
        chosen = commands(folder, pictures)
        plan = planned(chosen, arguments.faults, arguments.only)
        for command in chosen:
            mine = {fault: plan[command.name, fault] for fault in command.faults if plan[command.name, fault]}
            if not mine:
                continue
            trial = Trial(command, folder / "places", random.Random(f"{arguments.seed} {command.name}"))  # noqa: S311
            for fault, count in mine.items():
                tallies[f"{command.name} {fault}"] = tally = Tally()
                run_kind(trial, fault, count, tally)
                print(line(f"{command.name} {fault}", tally), *tally.notes, sep="\n    ", flush=True)
    report(tallies, time.monotonic() - began)
    if not any(tally.notes for tally in tallies.values()):
        shutil.rmtree(folder)


def run_kind(trial: Trial, fault: str, count: int, tally: Tally) -> None:
    """Put a command to one kind of fault until there were enough."""
    began = time.monotonic()
    for _ in range(4 * count):
        if tally.faults < count:
            getattr(trial, fault)(count - tally.faults, tally)
    tally.seconds = time.monotonic() - began


def line(kind: str, tally: Tally) -> str:
    """Put a kind into the table."""
    return COLUMNS.format(kind, tally.faults, tally.lost, tally.different, tally.unclear, f"{tally.seconds:.0f}")


def report(tallies: dict[str, Tally], seconds: float) -> None:
    """Sum up, and print the line that others read."""
    total = Tally(*(sum(getattr(tally, name) for tally in tallies.values()) for name in WORDS), seconds)
    print(line("all", total))
    wrong = total.lost + total.different + total.unclear
    unit = f"lost, different or without a clear line, of {total.faults} faults"
    print(json.dumps({"faults": {"ours": wrong, "stock": None, "ratio": None, "unit": unit}}))


WORDS = ("faults", "lost", "different", "unclear")

if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
