"""What the package reads beside its code is in the wheel."""

import subprocess
import tomllib
from pathlib import Path

from amalia_vl_hf.fields import RECIPES, recipe_file

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "amalia_vl_hf"


def test_every_file_of_the_package_is_in_the_wheel():
    """The patterns take them all, and none of them takes nothing."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["amalia_vl_hf"]
    taken = {pattern: {path for path in PACKAGE.glob(pattern) if path.is_file()} for pattern in patterns}
    listed = subprocess.run(["git", "ls-files", PACKAGE], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        files = {ROOT / line for line in listed.stdout.splitlines()}
    else:  # an unpacked archive, which holds what git does
        files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    beside = {path for path in files if path.suffix != ".py" and path.exists()}
    assert len(beside) > 30
    assert sorted(beside - set().union(*taken.values())) == []
    assert [pattern for pattern, paths in taken.items() if not paths] == []


def test_packages_are_those_with_code():
    """A folder of modules without `__init__.py` would be left out."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_recipes_of_the_repository_are_those_of_the_package():
    assert (ROOT / "recipes").resolve() == RECIPES.resolve()
    for file in RECIPES.glob("*/*.yaml"):
        name = file.relative_to(RECIPES)
        assert recipe_file(name) == recipe_file(name.with_suffix("")) == file
