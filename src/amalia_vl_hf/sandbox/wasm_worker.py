"""Runs snippets in CPython compiled to WebAssembly, one after the other, each in an instance of its own.

A script, not a module: it is started by path, so that nothing of this package is imported beside it. Jobs come as
lines of JSON on stdin; one line of JSON on stdout says that the snippet begins, a second how it ended. A snippet that
prints too much takes this process down with it, as do the limits on processor time (here) and on wall time (by
whoever started this).

The interpreter starts once for each hash seed, by the function that its authors give for this, before any snippet is
in its reach. What its memory is then is copied into every new instance. That is all of its state: its code never
writes a table nor drops a segment, and the only global it sets, the stack pointer, is back where it began when that
function returns.
"""

import functools
import json
import math
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

OPEN_FILES = 64
STACK = 1536 * 1024  # bytes, below the 2 MiB that wasmtime itself allots; Python's recursion limit mostly comes first
CHUNK = 64 * 1024  # bytes made at once, however many a snippet asks for
UNSIGNED = 0xFFFFFFFF  # WebAssembly's addresses arrive as signed numbers
PADDING = 64 * 1024  # bytes a seed: moves what is allocated later, so that an output with an address in it differs
NO_HOST = -1  # what the interpreter is told when it calls its embedder: there is none
PAGE = 64 * 1024  # bytes, WebAssembly's
IMAGES = 16  # started interpreters kept, of 4 MB each
# Addresses in the interpreter whose hash `wasm_build` holds, as its disassembly shows them.
# What `wizer.initialize` runs, a C string that would import packages left out here. It ends in "pandas", and two other
# strings are its tail, merged by the linker: that name and the keyword "as". Only what is before them is written over.
FIRST_CODE, FIRST_CODE_BYTES = 16876718, 64
HASH_SECRET, HASH_SECRET_BYTES = 22021448, 24  # CPython's _Py_HashSecret
HASH_SECRET_IS_SET = 22021496  # a byte; CPython then leaves the secret as it is
# What a start itself imports, and the modules that most functions begin with: 10 to 20 ms each, if not done once here.
PRELOADED = b"import encodings,io,os,sys,re,json,random,typing,datetime\0"


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
    image = functools.lru_cache(IMAGES)(functools.partial(start_interpreter, engine, module))
    for line in sys.stdin.buffer:
        serve(engine, module, image, json.loads(line))


def new_engine() -> Any:
    """Set the compiler up, the same where the interpreter is compiled and where it runs."""
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


class MemoryImage(NamedTuple):
    """The memory of an interpreter that has started.

    Attributes:
        pages: Its length in pages.
        written: Address and content of each page that differs from a new instance's.
    """

    pages: int
    written: list[tuple[int, bytearray]]


def start_interpreter(engine: Any, module: Any, seed: int) -> MemoryImage:
    """Start an interpreter under a hash seed, up to where it would take a snippet."""
    import wasmtime

    new, started = wasmtime.Store(engine), wasmtime.Store(engine)
    started.set_wasi(world("", seed, {"stdout": bytearray(), "stderr": bytearray()}, CHUNK))
    linker = new_linker(engine, seed)
    untouched = linker.instantiate(new, module).exports(new)["memory"]
    exports = linker.instantiate(started, module).exports(started)
    exports["_initialize"](started)
    memory, secret = exports["memory"], random.Random(f"hash {seed}")  # noqa: S311  # the same again is what is wanted
    memory.write(started, PRELOADED, FIRST_CODE)
    memory.write(started, secret.randbytes(HASH_SECRET_BYTES), HASH_SECRET)
    memory.write(started, b"\1", HASH_SECRET_IS_SET)
    exports["wizer.initialize"](started)
    image = MemoryImage(memory.size(started), [])
    for start in range(0, image.pages * PAGE, PAGE):
        page = memory.read(started, start, start + PAGE)
        if page != untouched.read(new, start, start + PAGE):
            image.written.append((start, page))
    new.close()
    started.close()
    return image


def serve(engine: Any, module: Any, image_of: Callable[[int], MemoryImage], job: dict[str, Any]) -> None:
    """Run one snippet and answer with its exit code, None where it trapped, and its streams."""
    import wasmtime

    limit_processor_time(None)  # the last snippet's limit is not one of this start
    image = image_of(job["seed"])
    answer(begins=True)
    limit_processor_time(job["cpu_seconds"])
    streams: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    store = wasmtime.Store(engine)
    store.set_limits(memory_size=job["memory_bytes"], instances=1, memories=1)
    store.set_wasi(world(job["code"], job["seed"], streams, job["output_bytes"]))
    linker = new_linker(engine, job["seed"])
    code: int | None = None
    try:
        exports = linker.instantiate(store, module).exports(store)
        restore(exports["memory"], store, image)
        code = exports["run"](store)
    except wasmtime.ExitTrap as end:
        code = end.code
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        streams["stderr"] += str(error).splitlines()[-1].strip().encode()
    store.close()
    answer(code=code, **texts(streams))


def restore(memory: Any, store: Any, image: MemoryImage) -> None:
    """Make the memory of a new instance that of an interpreter that has started."""
    memory.grow(store, image.pages - memory.size(store))
    for start, page in image.written:
        memory.write(store, page, start)


def new_linker(engine: Any, seed: int) -> Any:
    """Give the functions that the interpreter may call: WASI's, with random numbers that follow from the seed."""
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


def world(code: str, seed: int, streams: dict[str, bytearray], most: int) -> Any:
    """Give all that a snippet has of the outside: its arguments, the library to read, two streams to write."""
    import wasmtime

    def keep(name: str, chunk: bytes) -> None:
        streams[name] += chunk
        if len(streams[name]) > most:
            answer(too_much_output=True, **texts(streams))
            os._exit(1)

    wasi = wasmtime.WasiConfig()
    wasi.argv = ["python", "-c", code]
    wasi.env = [("PADDING", " " * PADDING * seed)]
    wasi.preopen_dir(".", "/usr/local/lib", False)
    wasi.stdout_custom = lambda chunk: keep("stdout", chunk)
    wasi.stderr_custom = lambda chunk: keep("stderr", chunk)
    return wasi


def limit_processor_time(seconds: int | None) -> None:
    """Let the kernel end this process after so many more seconds of processor time, None: never."""
    end = resource.RLIM_INFINITY if seconds is None else math.ceil(time.process_time()) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))


def texts(streams: dict[str, bytearray]) -> dict[str, str]:
    """Write bytes as JSON can carry them."""
    return {name: content.decode("latin-1") for name, content in streams.items()}


def answer(**fields: object) -> None:
    """Write a line of JSON."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
