"""What the Hub's "use this model" button shows runs: rendered by the Hub's own code from what was pushed.

npm's `@huggingface/tasks` is that code; it needs the registry, so this is marked slow. It is told of the model what
the Hub finds out on its side; here that is made of the pushed config and card. Which Auto class the Hub takes of
several in an `auto_map`, and whether it knows a processor for a model type that Transformers has not, is not public:
every snippet that it could show is run, but for `AutoModelForVision2Seq`, which Transformers 5 dropped. Only the
address of the picture in it is replaced, by a loopback one.
"""

import json
import subprocess

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, constants
from PIL import Image

from amalia_vl_hf.conversion.publishing.hub import Release, push
from tests.conversion.publishing.hub_server import TOKEN, HubServer
from tests.conversion.publishing.publishable import write_model
from tests.test_registration import run_python

TASKS = "@huggingface/tasks@0.21.54"
PICTURE = "https://huggingface.co/datasets/huggingface/documentation-images/resolve/main/p-blog/candy.JPG"
MODEL, EXPORT, IMAGES = "org/model", "org/export", "org/images"

RENDER = """
import { MODEL_LIBRARIES_UI_ELEMENTS } from "@huggingface/tasks";

const models = JSON.parse(process.argv[2]);
const snippets = models.flatMap((model) => MODEL_LIBRARIES_UI_ELEMENTS[model.library_name].snippets(model));
console.log(JSON.stringify(snippets));
"""

RUN = """
import json, sys
sys.modules["amalia_vl_hf"] = None  # as if it were not installed
import torch
torch.set_num_threads(1)
said = []
for snippet in {snippets!r}:
    names = {{"print": said.append}}
    exec(compile(snippet, "snippet", "exec"), names)
    if "pipe" in names and "messages" in names:  # a notebook shows what the last line gives; a script does not
        said.append(names["pipe"](text=names["messages"])[0]["generated_text"][-1]["content"])
print(json.dumps(said))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A folder where Node finds the Hub's code."""
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", TASKS]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        pytest.fail("npm is not installed, which renders the Hub's snippets")
    if installed.returncode:
        pytest.fail(f"npm did not install {TASKS}: {installed.stderr[-500:]}")
    (folder / "render.mjs").write_text(RENDER)
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub that holds a model, its export, and the picture."""
    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch, HubServer() as server:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        api = HfApi(server.url, token=TOKEN)
        push(Release(write_model(folder / "model"), MODEL, export_id=EXPORT), api=api)
        Image.linear_gradient("L").resize((70, 50)).convert("RGB").save(folder / "candy.JPG", "JPEG")
        api.create_repo(IMAGES)
        picture = [CommitOperationAdd("candy.JPG", folder / "candy.JPG")]
        api.create_commit(IMAGES, picture, commit_message="Add")
        yield server


def descriptions(hub, repo):
    """Say of a repository what the Hub's code is told: each way in which the Hub may understand it."""
    files = hub.files(repo)
    config = json.loads(files["config.json"])
    card = ModelCard(files["README.md"].decode()).data.to_dict()
    auto_map = config.get("auto_map", {})
    whole = {name for name, path in auto_map.items() if path.split(".")[-1] == config["architectures"][0]}
    classes = sorted(whole - {"AutoModelForVision2Seq"})
    tags = [*card["tags"], *card["language"], card["library_name"], card["pipeline_tag"], config["model_type"]]
    shared = {"id": repo, "library_name": card["library_name"], "pipeline_tag": card["pipeline_tag"]}
    shared |= {"config": {**config, "chat_template_jinja": files["chat_template.jinja"].decode()}}
    shared |= {"tags": [*tags, "custom_code"] if auto_map else tags}
    understood = [
        {"auto_model": name, "processor": "AutoProcessor"} for name in classes or ["AutoModelForImageTextToText"]
    ]
    if auto_map:
        understood += [{"auto_model": name} for name in (*classes, "AutoModel")]
    return [{**shared, "transformersInfo": info} for info in understood]


def rendered(hub, node, repo):
    command = ["node", "render.mjs", json.dumps(descriptions(hub, repo))]
    output = subprocess.run(command, cwd=node, capture_output=True, text=True, timeout=60, check=True).stdout
    return list(dict.fromkeys(json.loads(output)))


def run(hub, snippets, folder):
    """Execute snippets in a new process with an empty cache; give what they print and what their pipelines answer."""
    local = [snippet.replace(PICTURE, f"{hub.url}/{IMAGES}/resolve/main/candy.JPG") for snippet in snippets]
    return run_python(
        RUN.format(snippets=local),
        cwd=folder,
        HF_ENDPOINT=hub.url,
        HF_HOME=str(folder / "home"),
        HF_HUB_OFFLINE="0",
        HF_HUB_DISABLE_XET="1",
    )


def test_the_models_snippets_run_with_its_own_code(hub, node, tmp_path):
    snippets = rendered(hub, node, MODEL)
    assert len(snippets) == 6  # the pipeline; two classes with a processor; three without
    assert all(f'"{MODEL}", trust_remote_code=True' in snippet for snippet in snippets)
    assert sum(PICTURE in snippet for snippet in snippets) == 3
    said = run(hub, snippets, tmp_path)
    assert len(said) == 3
    assert all(isinstance(answer, str) and answer for answer in said)
    assert said[1] == said[2]


def test_the_exports_snippets_run_without_any(hub, node, tmp_path):
    snippets = rendered(hub, node, EXPORT)
    assert len(snippets) == 2
    assert not any("trust_remote_code" in snippet for snippet in snippets)
    said = run(hub, snippets, tmp_path)
    assert len(said) == 2
    assert all(isinstance(answer, str) and answer for answer in said)
