"""Fetch the sdist of the installed transformers, lay its tests out in a temporary package, run them on our classes."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import transformers

# What the sdist leaves out and its tests import: mixins of which our classes take nothing, and helpers never called.
STAND_INS = {
    "upstream/exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "upstream/generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "fetch_hub_objects_for_ci.py": "def url_to_local_path(url):\n    return url\n",
}


def unpack(directory: Path) -> None:
    """Lay out `upstream`, a package of the tests that lie in the sdist."""
    name = f"transformers=={transformers.__version__}"
    fetch = ["download", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary", "transformers", name]
    subprocess.run([sys.executable, "-m", "pip", *fetch, "--dest", directory], check=True)
    (archive,) = directory.glob("transformers-*.tar.gz")
    (directory / "upstream").mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = Path(member.name).parts
            if len(parts) == 3 and parts[1] == "tests" and member.isfile():
                content = tar.extractfile(member)
                (directory / "upstream" / parts[2]).write_bytes(content.read() if content else b"")
    for path, text in STAND_INS.items():
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_text(text)
    for package in (directory / "upstream", *(directory / "upstream").iterdir()):
        if package.is_dir():
            (package / "__init__.py").touch()


def main() -> int:
    """Run them; arguments are pytest's."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as temporary:
        unpack(Path(temporary))
        paths = os.pathsep.join([temporary, str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        arguments = sys.argv[1:] or [str(here)]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", *arguments]
        return subprocess.run(
            command, env={**os.environ, "PYTHONPATH": paths}, cwd=here.parent, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
