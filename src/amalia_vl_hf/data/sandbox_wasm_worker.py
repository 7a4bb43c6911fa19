"""Runs snippets in CPython compiled to WebAssembly, one after the other, each in an instance of its own.

A script, not a module: it is started by path, so that nothing of this package is imported beside it. Jobs come as
lines of JSON on stdin, answers leave as lines of JSON on stdout. A snippet that prints too much takes this process
down with it, as do the limits on processor time (here) and on wall time (by whoever started this).
"""

import json
import math
import os
import random
import resource
import sys
import time
from typing import Any

OPEN_FILES = 64
STACK = 1536 * 1024  # bytes, below the 2 MiB that wasmtime itself allots; Python's recursion limit mostly comes first
CHUNK = 64 * 1024  # bytes made at once, however many a snippet asks for
UNSIGNED = 0xFFFFFFFF  # WebAssembly's addresses arrive as signed numbers
PADDING = 64 * 1024  # bytes a seed: moves what is allocated later, so that an output with an address in it differs
NO_HOST = -1  # what the interpreter is told when it calls its embedder: there is none


def main(packages: str, compiled: str, library: str, user: str) -> None:
    """Serve jobs until stdin ends.

    Args:
        packages: Folder that wasmtime is installed in.
        compiled: The compiled interpreter.
        library: Folder with the interpreter's standard library, the only one that a snippet sees.
        user: User and group id to take on; empty: keep ours.
    """
    sys.path.append(packages)
    import wasmtime

    engine = new_engine()
    module = wasmtime.Module.deserialize_file(engine, compiled)
    os.chdir(library)  # opened later as ".", which a plain user may do where the path to it is closed
    give_up_rights(user)
    answer(ready=True)
    for line in sys.stdin.buffer:
        serve(engine, module, json.loads(line))


def new_engine() -> Any:
    """The compiler and its settings, the same where the interpreter is compiled and where it runs."""
    import wasmtime

    config = wasmtime.Config()
    config.wasm_exceptions = True
    config.max_wasm_stack = STACK
    return wasmtime.Engine(config)


def give_up_rights(user: str) -> None:
    """Become a plain user, without core dumps, with few open files and none that grows."""
    for kind, bound in ((resource.RLIMIT_NOFILE, OPEN_FILES), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (bound, bound))
    if user:
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))


def serve(engine: Any, module: Any, job: dict[str, Any]) -> None:
    """Run one snippet and answer with its exit code, None where it trapped, and its streams."""
    import wasmtime

    limit_processor_time(job["cpu_seconds"])
    streams: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    store = wasmtime.Store(engine)
    store.set_limits(memory_size=job["memory_bytes"], instances=1, memories=1)
    store.set_wasi(world(job, streams))
    linker = new_linker(engine, job["seed"])
    code: int | None = None
    try:
        exports = linker.instantiate(store, module).exports(store)
        exports["_initialize"](store)
        code = exports["run"](store)
    except wasmtime.ExitTrap as end:
        code = end.code
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        streams["stderr"] += str(error).splitlines()[-1].strip().encode()
    store.close()
    answer(code=code, **texts(streams))


def new_linker(engine: Any, seed: int) -> Any:
    """The functions that the interpreter may call: WASI's, with random numbers that follow from the seed.

    This interpreter ignores PYTHONHASHSEED and takes its hash seed from WASI's random numbers.
    """
    import wasmtime

    source = random.Random(seed)  # noqa: S311  # the same numbers again are what is wanted
    number = wasmtime.ValType.i32()

    def fill(caller: Any, start: int, length: int) -> int:
        memory, start, length = caller["memory"], start & UNSIGNED, length & UNSIGNED
        for offset in range(0, length, CHUNK):
            memory.write(caller, source.randbytes(min(CHUNK, length - offset)), start + offset)
        return 0

    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    linker.allow_shadowing = True
    random_get = wasmtime.FuncType([number] * 2, [number])
    linker.define_func("wasi_snapshot_preview1", "random_get", random_get, fill, access_caller=True)
    linker.define_func("host", "call", wasmtime.FuncType([number] * 4, [number]), lambda *_: NO_HOST)
    return linker


def world(job: dict[str, Any], streams: dict[str, bytearray]) -> Any:
    """All that a snippet has of the outside: its arguments, the library to read, two streams to write."""
    import wasmtime

    def keep(name: str, chunk: bytes) -> None:
        streams[name] += chunk
        if len(streams[name]) > job["output_bytes"]:
            answer(too_much_output=True, **texts(streams))
            os._exit(1)

    wasi = wasmtime.WasiConfig()
    wasi.argv = ["python", "-c", job["code"]]
    wasi.env = [("PADDING", " " * PADDING * job["seed"])]
    wasi.preopen_dir(".", "/usr/local/lib", False)
    wasi.stdout_custom = lambda chunk: keep("stdout", chunk)
    wasi.stderr_custom = lambda chunk: keep("stderr", chunk)
    return wasi


def limit_processor_time(seconds: int) -> None:
    """Let the kernel end this process after so many more seconds of processor time."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, resource.RLIM_INFINITY))


def texts(streams: dict[str, bytearray]) -> dict[str, str]:
    """Bytes as JSON can carry them."""
    return {name: content.decode("latin-1") for name, content in streams.items()}


def answer(**fields: object) -> None:
    """Write a line of JSON."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
