"""One directory serves both worlds: with the package imported, and as remote code without it."""

import ast
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image

import amalia_vl_hf
from amalia_vl_hf import AutoModelForVision2Seq
from tests.tiny import (
    PINPOINTS,
    tiny_config,
    tiny_model,
    tiny_text_config,
    tiny_tokenizer,
)

QUESTION = "Que cor tem o quadrado?"
MODEL_CLASSES = ("AutoModel", "AutoModelForImageTextToText", "AutoModelForMultimodalLM")


def tiny_processor():
    tokenizer = tiny_tokenizer()
    image_processor = amalia_vl_hf.AmaliaVLImageProcessor(
        size={"height": 32, "width": 32}, patch_size=8, image_grid_pinpoints=[list(size) for size in PINPOINTS]
    )
    return amalia_vl_hf.AmaliaVLProcessor(image_processor, tokenizer)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A whole repository: weights, processor and the code that loads them."""
    directory = tmp_path_factory.mktemp("repository")
    processor = tiny_processor()
    text = tiny_text_config(vocab_size=512, eos_token_id=None)
    tiny_model(tiny_config(text=text, image_token_id=processor.image_token_id)).save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def expected(exported):
    model = amalia_vl_hf.AmaliaVLForConditionalGeneration.from_pretrained(exported).eval()
    return answer(model, amalia_vl_hf.AmaliaVLProcessor.from_pretrained(exported))


def answer(model, processor):
    image = Image.linear_gradient("L").resize((70, 50)).convert("RGB")
    chat = [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]}]
    inputs = processor.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    return model.generate(**inputs, max_new_tokens=6, do_sample=False)[0].tolist()


REMOTE = """
import json, sys
sys.modules["amalia_vl_hf"] = None  # as if it were not installed
import torch
torch.set_num_threads(1)
from PIL import Image
from transformers import (
    AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoProcessor
)

QUESTION = {question!r}
{answer}

def load(directory):
    trust = dict(trust_remote_code=True)
    config = AutoConfig.from_pretrained(directory, **trust)
    base = AutoModel.from_pretrained(directory, **trust)
    images = AutoImageProcessor.from_pretrained(directory, **trust)
    multimodal = AutoModelForMultimodalLM.from_pretrained(directory, **trust)
    model = AutoModelForImageTextToText.from_pretrained(directory, **trust).eval()
    processor = AutoProcessor.from_pretrained(directory, **trust)
    names = [type(x).__name__ for x in (config, base, images, multimodal, model, processor, processor.image_processor)]
    assert all("transformers_modules" in type(x).__module__ for x in (config, base, images, model, processor))
    return model, processor, names

model, processor, names = load({directory!r})
first = answer(model, processor)
model.save_pretrained({again!r})
processor.save_pretrained({again!r})
again = answer(*load({again!r})[:2])
print(json.dumps(dict(names=names, first=first, again=again)))
"""


def run_python(code, **environment):
    """Runs code in a new interpreter, outside the checkout, so that nothing but the directory can be imported."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=environment.pop("cwd"),
        env={**os.environ, **environment},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


def test_remote_code_without_the_package(exported, expected, tmp_path):
    code = REMOTE.format(
        question=QUESTION, answer=inspect.getsource(answer), directory=str(exported), again=str(tmp_path / "again")
    )
    result = run_python(code, cwd=tmp_path, HF_HOME=str(tmp_path / "home"))
    assert result["names"] == [
        "AmaliaVLConfig",
        "AmaliaVLModel",
        "AmaliaVLImageProcessor",
        "AmaliaVLForConditionalGeneration",
        "AmaliaVLForConditionalGeneration",
        "AmaliaVLProcessor",
        "AmaliaVLImageProcessor",
    ]
    assert result["first"] == expected
    assert result["again"] == expected
    again = {path.name: path for path in (tmp_path / "again").iterdir()}
    assert again.keys() == {path.name for path in exported.iterdir()}
    for path in exported.glob("*_amalia_vl.py"):
        assert again[path.name].read_text() == path.read_text()


def test_the_exported_directory_names_every_auto_class(exported):
    names = json.loads((exported / "config.json").read_text())["auto_map"]
    assert {"AutoConfig", *MODEL_CLASSES, "AutoModelForVision2Seq"} <= names.keys()
    processor = json.loads((exported / "processor_config.json").read_text())
    assert "AutoProcessor" in processor["auto_map"]
    assert "AutoImageProcessor" in processor["image_processor"]["auto_map"]
    for reference in names.values():
        assert (exported / f"{reference.split('.')[0]}.py").exists()


@pytest.mark.parametrize("name", [*MODEL_CLASSES, "AutoConfig", "AutoProcessor", "AutoImageProcessor"])
def test_with_the_package_no_flag_is_needed(exported, name):
    loaded = getattr(transformers, name).from_pretrained(exported)
    assert type(loaded).__module__.startswith("amalia_vl_hf.")


def test_the_old_name_works(exported, expected):
    model = AutoModelForVision2Seq.from_pretrained(exported)
    assert type(model) is amalia_vl_hf.AmaliaVLForConditionalGeneration
    assert transformers.AutoModelForVision2Seq is AutoModelForVision2Seq
    assert answer(model.eval(), amalia_vl_hf.AmaliaVLProcessor.from_pretrained(exported)) == expected


def test_the_class_is_found_by_its_architecture_name(exported):
    name = json.loads((exported / "config.json").read_text())["architectures"][0]
    assert getattr(transformers, name) is amalia_vl_hf.AmaliaVLForConditionalGeneration


def test_pipeline(exported, expected):
    pipe = transformers.pipeline("image-text-to-text", model=str(exported))
    image = Image.linear_gradient("L").resize((70, 50)).convert("RGB")
    chat = [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]}]
    greedy = {"max_new_tokens": 6, "do_sample": False}
    output = pipe(text=chat, generate_kwargs=greedy, return_tensors=True)
    assert output[0]["generated_token_ids"].tolist() == expected


ORDERS = {
    "ours first": "import amalia_vl_hf\nimport transformers",
    "a class of ours first": "from amalia_vl_hf import AmaliaVLForConditionalGeneration\nimport transformers",
    # Importing AutoProcessor puts a second `transformers` in the place of the first, which the user still holds.
    "transformers used first": "import transformers\nfrom transformers import AutoProcessor\nimport amalia_vl_hf",
    "maps loaded first": "import transformers\n"
    "from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForMultimodalLM\n"
    "AutoConfig.for_model('bert')\nimport amalia_vl_hf",
}
EVERY_ORDER = """
import sys
{imports}
from transformers import (
    AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoProcessor
)
from transformers import AmaliaVLForConditionalGeneration, AutoModelForVision2Seq
import transformers as now

autos = (AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM)
for auto in (*autos, AutoModelForVision2Seq, AutoProcessor):
    loaded = type(auto.from_pretrained({directory!r}))
    assert loaded is getattr(sys.modules["amalia_vl_hf"], loaded.__name__), loaded
for module in (transformers, now, sys.modules["transformers"], transformers.processing_utils.transformers_module):
    assert module.AmaliaVLForConditionalGeneration is AmaliaVLForConditionalGeneration
    assert module.AutoModelForVision2Seq is AutoModelForImageTextToText
    assert not hasattr(module, "AmaliaVLForSomethingElse")
assert not hasattr(transformers.models.llama, "AmaliaVLConfig"), "another lazy module"
transformers.AutoModelForVision2Seq = 1
assert transformers.AutoModelForVision2Seq == 1, "can be replaced, like any other name"
"""
# What transformers imports of other packages takes most of the time, so it is there before each order is a fork.
IN_FORKS = """
import json, os, sys, traceback
import torch, torch._dynamo, torch.distributed.tensor, PIL.Image, numpy, huggingface_hub, safetensors.torch, tokenizers
assert not {"transformers", "amalia_vl_hf"} & sys.modules.keys()
codes = {}
for name, code in json.load(open("orders.json")).items():
    child = os.fork()
    if child == 0:
        try:
            exec(code, {"__name__": "__main__"})
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    codes[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(codes))
"""


def test_every_import_order(exported, tmp_path):
    codes = {name: EVERY_ORDER.format(imports=imports, directory=str(exported)) for name, imports in ORDERS.items()}
    (tmp_path / "orders.json").write_text(json.dumps(codes))
    assert run_python(IN_FORKS, cwd=tmp_path) == dict.fromkeys(ORDERS, 0)


LIGHT = """
import json, sys
import amalia_vl_hf
heavy = [name for name in ("torch", "transformers", "numpy", "PIL") if name in sys.modules]
missing = [name for name in amalia_vl_hf.__all__ if name not in dir(amalia_vl_hf)]
import transformers.models.auto.modeling_auto, transformers.models.auto.image_processing_auto
late = [name for name in sys.modules if name.startswith("amalia_vl_hf.modeling.modeling")]
print(json.dumps([heavy, missing, late]))
"""


def test_importing_imports_neither_torch_nor_transformers(tmp_path):
    """And loading the Auto classes does not load ours."""
    assert run_python(LIGHT, cwd=tmp_path) == [[], [], []]


SPAWNED = """
import json, multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor
import amalia_vl_hf

def names(*pickled):
    "Runs in a worker that knows the package only from what it is given."
    config, processor = pickled[:2]
    again = AutoConfig.for_model("amalia_vl"), AutoImageProcessor.from_pretrained(processor.name_or_path)
    return [type(value).__name__ for value in (*pickled, *again)]

if __name__ == "__main__":
    config = AutoConfig.from_pretrained({directory!r})
    processor = AutoProcessor.from_pretrained({directory!r})
    processor.name_or_path = {directory!r}
    model = AutoModel.from_pretrained({directory!r})
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        print(json.dumps(pool.submit(names, config, processor, model).result()))
"""


def test_objects_go_to_spawned_workers(exported, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SPAWNED.format(directory=str(exported)), encoding="utf-8")
    process = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]
    names = json.loads(process.stdout.splitlines()[-1])
    assert names == [
        "AmaliaVLConfig",
        "AmaliaVLProcessor",
        "AmaliaVLModel",
        "AmaliaVLConfig",
        "AmaliaVLImageProcessor",
    ]


def check_import(node, path):
    if isinstance(node, ast.ImportFrom) and node.level:
        assert node.level == 1, f"{path.name} imports from a parent package"
        assert (path.parent / f"{node.module}.py").exists(), f"{path.name} imports {node.module}"
    elif isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
        assert not any(name.split(".")[0] == "amalia_vl_hf" for name in names), path.name


def test_islands_import_only_their_siblings():
    """Saving copies these files flat into a repository: nothing else would be there."""
    root = Path(amalia_vl_hf.__file__).parent
    names = []
    for island in ("modeling", "processing"):
        for path in (root / island).glob("*.py"):
            if path.name == "__init__.py":
                continue
            names.append(path.name)
            for node in ast.walk(ast.parse(path.read_text())):
                check_import(node, path)
    assert len(names) == len(set(names)), "exported files would overwrite each other"
    assert len(names) >= 5


def test_weights_are_safetensors_only(exported):
    assert (exported / "model.safetensors").exists()
    assert not [path for path in exported.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_half_precision_answers(exported):
    model = amalia_vl_hf.AmaliaVLForConditionalGeneration.from_pretrained(exported, dtype=torch.bfloat16)
    assert model.dtype == model.model.vision_tower.dtype == model.model.image_newline.weight.dtype == torch.bfloat16
    answer(model.eval(), amalia_vl_hf.AmaliaVLProcessor.from_pretrained(exported))
