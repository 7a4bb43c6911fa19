"""The house: which room may import which, how full a room is, and that tests stand where their module does."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "amalia_vl_hf"
MOST_FILES = 16  # of Python, flat in a folder
MOST_LINES = 0.4  # of the package, in a folder

# What a room imports beside itself and what everybody may; a room within a room has arrows of its own.
EVERYBODY = {"disk", "fields", "memory", "pages", "quantisation", "processing", "modeling"}
_DATA = {"asking", "variety", "translation", "sandbox", "samples"}
ARROWS = {
    "cli": {"commands"},
    "commands": {
        "demo",
        "conversion",
        "conversion.publishing",
        "data",
        "training",
        "evaluation",
        "serving",
        "samples",
        "variety",
        "translation",
        "inspection",
        "asking",  # `data build --endpoint` is made of arguments
    },
    "demo": {"training", "conversion", "evaluation"},
    "conversion.publishing": {"training.recipe", "evaluation.results", "conversion"},
    "conversion": set(),
    "data.preferences": {"data", *_DATA, "evaluation.parsing", "evaluation.metrics"},
    "data": _DATA,
    "training": {"samples", "evaluation"},
    "serving": {"asking", "inspection", "evaluation.parsing", "evaluation.tasks"},
    "evaluation": {"samples", "asking", "variety", "translation"},
    "translation": {"asking", "variety", "samples"},
    "variety": {"samples"},
    "inspection": set(),
    "asking": set(),
    "sandbox": set(),
    "samples": set(),
    "pages": set(),
    "fields": set(),
    "memory": set(),
    "quantisation": set(),
    "registration": set(),
    "disk": set(),
    "modeling": set(),
    "processing": set(),
}


def module_name(path):
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


def room_of(module):
    """Name the room, or the room within a room that has arrows of its own, that a module stands in."""
    return max((room for room in ARROWS if f"{module}.".startswith(f"{room}.")), key=len, default=module)


MODULES = {module_name(path): path for path in sorted(SOURCES.rglob("*.py"))}


def imports_of(module):
    """List the package's modules that a module imports, wherever in the file."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "amalia_vl_hf":
            yield from (".".join([*node.module.split(".")[1:], alias.name]) for alias in node.names)


def allowed(room, target):
    """Say whether a room may import a module: a room's name does not stand for the rooms in it with other arrows."""
    names = {name for name in {room, *ARROWS[room], *EVERYBODY} if f"{target}.".startswith(f"{name}.")}
    return any(room_of(name) == room_of(target) for name in names)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_arrows_point_downward(module):
    room, tops = room_of(module), {name.split(".")[0] for name in MODULES}
    targets = [target for target in imports_of(module) if target.split(".")[0] in tops]
    assert not [target for target in targets if not allowed(room, target)]


def test_an_arrow_upward_would_be_found():
    assert not allowed("samples", "training.recipe")
    assert not allowed("conversion", "conversion.publishing.hub")
    assert not allowed("conversion.publishing", "training.run")
    assert allowed("training", "samples.loading")
    assert "disk.fingerprint" in set(imports_of("training.origin"))


def test_no_room_is_too_full():
    files = Counter(path.parent for path in MODULES.values())
    assert {str(folder): count for folder, count in files.items() if count > MOST_FILES} == {}
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES.values()}
    folders = {folder for path in MODULES.values() for folder in path.relative_to(SOURCES).parents if folder.name}
    shares = {
        str(folder): sum(lines[path] for path in lines if (SOURCES / folder) in path.parents) / sum(lines.values())
        for folder in folders
    }
    assert {folder: share for folder, share in shares.items() if share > MOST_LINES} == {}


def test_class_names_are_unique():
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_every_folder_says_what_lives_there():
    for path in MODULES.values():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_tests_stand_where_their_room_does():
    """Folders of tests are named as the package's, and a file that names a module stands where the module does."""
    tests = ROOT / "tests"
    for folder in {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}:
        assert (SOURCES / folder).is_dir(), f"tests/{folder} mirrors no folder"
    homes = {}
    for module, path in MODULES.items():
        home = module if path.name == "__init__.py" else module.rpartition(".")[0]
        homes.setdefault(module.rpartition(".")[2], set()).add(home.replace(".", "/"))
    for path in tests.rglob("test_*.py"):
        places = homes.get(path.stem.removeprefix("test_"))
        assert places is None or str(path.parent.relative_to(tests)).removeprefix(".") in places, path
