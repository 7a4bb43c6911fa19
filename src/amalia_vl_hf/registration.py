"""The Auto classes of Transformers know ours, in either import order, and nothing is imported to tell them.

Transformers maps names of model types to names of classes, and looks a class up in `transformers.models.MODEL_TYPE`
when somebody asks for it. So this package stands there, and its names are written into the maps: at once where they
are loaded already, else by a watcher in the moment in which they are.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODEL_TYPE = "amalia_vl"
# In each of Transformers' modules, by the map there: the class of ours that it has to know.
NAMES: Mapping[str, Mapping[str, Any]] = {
    "transformers.models.auto.configuration_auto": {"CONFIG": "AmaliaVLConfig"},
    "transformers.models.auto.modeling_auto": {
        "MODEL": "AmaliaVLModel",
        "MODEL_FOR_IMAGE_TEXT_TO_TEXT": "AmaliaVLForConditionalGeneration",
        "MODEL_FOR_MULTIMODAL_LM": "AmaliaVLForConditionalGeneration",
    },
    "transformers.models.auto.processing_auto": {"PROCESSOR": "AmaliaVLProcessor"},
    "transformers.models.auto.image_processing_auto": {
        "IMAGE_PROCESSOR": dict.fromkeys(("pil", "torchvision"), "AmaliaVLImageProcessor")
    },
}
LAZY_MODULES = "transformers.utils.import_utils"


def register(package: ModuleType) -> None:
    """Make the Auto classes, and the `transformers` module itself, know a package's classes by their names.

    Args:
        package: Gives the classes as attributes; asked for them only when they are used.
    """
    sys.modules[f"transformers.models.{MODEL_TYPE}"] = package
    steps: dict[str, Callable[[ModuleType], None]] = dict.fromkeys(NAMES, _write_names)
    steps[LAZY_MODULES] = lambda module: _show_names(module, package)
    for name in [name for name in steps if name in sys.modules]:
        steps.pop(name)(sys.modules[name])
    if steps:
        sys.meta_path.insert(0, _Watcher(steps))


def _write_names(module: ModuleType) -> None:
    for name, value in NAMES[module.__name__].items():
        getattr(module, f"{name}_MAPPING_NAMES")[MODEL_TYPE] = value
        mapping = getattr(module, f"{name}_MAPPING")
        if hasattr(mapping, "_reverse_config_mapping"):  # a copy, made when the mapping was
            mapping._reverse_config_mapping["AmaliaVLConfig"] = MODEL_TYPE


def _show_names(module: ModuleType, package: ModuleType) -> None:
    """Let `transformers` have our names: TRL, pipelines, processors and `transformers serve` look classes up there.

    Its class gets them, not the module: importing AutoProcessor runs `transformers/__init__.py` again, past every
    watcher, and a second module takes the first one's place, which is still in use.
    """
    for name in package.__all__:
        setattr(module._LazyModule, name, _Name(name, package))


class _Name:
    """A name of ours on the `transformers` module; it can be replaced there, like any other."""

    def __init__(self, name: str, package: ModuleType) -> None:
        self._name, self._package = name, package

    def __get__(self, module: ModuleType | None, owner: type) -> Any:
        if module is None or module.__name__ != "transformers":  # other packages are lazy by the same class
            raise AttributeError(f"{module or owner} has no attribute {self._name!r}")
        return getattr(self._package, self._name)


class _Watcher(MetaPathFinder):
    """Finds what the other finders find, and takes a step when a module that is waited for has been loaded."""

    def __init__(self, steps: dict[str, Callable[[ModuleType], None]]) -> None:
        self._steps = steps

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._steps:
            return None
        for finder in [finder for finder in sys.meta_path if finder is not self]:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._steps[name])
                return spec
        return None


class _Loader(Loader):
    """Loads as another loader does, leaves no trace, and takes a step then."""

    def __init__(self, loader: Loader, step: Callable[[ModuleType], None]) -> None:
        self._loader, self._step = loader, step

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._step(module)
