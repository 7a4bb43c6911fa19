"""A model is pushed over HTTP to a hub on loopback, and loads from there in a fresh process with an empty cache."""

import errno
import hashlib
import inspect
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import CommitOperationAdd, HfApi, constants, get_session
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import LlavaNextForConditionalGeneration

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor
from amalia_vl_hf.cli import main
from amalia_vl_hf.conversion.llava_next import import_checkpoint
from amalia_vl_hf.conversion.provenance import read_provenance
from amalia_vl_hf.conversion.publishing.card import CardError
from amalia_vl_hf.conversion.publishing.hub import (
    PushError,
    Release,
    contents_of,
    describe,
    push,
)
from amalia_vl_hf.conversion.publishing.repository import exported_code, gather, license_text
from amalia_vl_hf.conversion.verify import verify
from tests.conversion.checkpoints import keep_in_hub_cache, write_amalia
from tests.conversion.publishing.hub_server import TOKEN, HubServer
from tests.conversion.publishing.publishable import (
    FACTS,
    FIGURES,
    SCORES,
    write_log,
    write_model,
    write_report,
)
from tests.test_registration import QUESTION, answer, run_python

REPO = "org/model"
LORA = LoraConfig(r=2, target_modules=["q_proj"])


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("hub") / "model")


@pytest.fixture
def model(original, tmp_path):
    copy = shutil.copytree(original, tmp_path / "model")
    write_report(copy)
    return copy


@pytest.fixture
def imported(tmp_path):
    """A model that was converted and not trained, with the facts that only a person knows."""
    write_amalia(tmp_path / "source")
    import_checkpoint(tmp_path / "source", tmp_path / "imported")
    (tmp_path / "imported" / "card.yaml").write_text(FACTS)
    return tmp_path / "imported"


def verify_as(first, second):
    Path(second, "verify.json").write_text(verify(first, second).json())


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """Undo this suite's offline mode, which huggingface_hub reads once: loopback is all there is to reach."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def api(hub):
    return HfApi(hub.url, token=TOKEN)


def local(release):
    return {
        path: content if isinstance(content, bytes) else content.read_bytes()
        for path, content in contents_of(release).items()
    }


def published(hub, repo=REPO, revision="main"):
    return {path: content for path, content in hub.files(repo, revision).items() if path != ".gitattributes"}


def test_one_commit_holds_everything_byte_for_byte(hub, api, model):
    (address,) = push(Release(model, REPO), api=api)
    assert published(hub) == local(Release(model, REPO))
    assert hub.commits(REPO) == 1
    assert address == f"{hub.url}/{REPO}/commit/{hub.repositories[REPO].at('main')[0]}"
    assert {"README.md", "LICENSE", "model.safetensors", "modeling_amalia_vl.py"} <= published(hub).keys()
    assert not {"training.json", "verify.json", "card.yaml"} & published(hub).keys()


def test_pushing_again_sends_nothing(hub, api, model):
    first = push(Release(model, REPO), api=api)
    before = hub.requests.copy()
    assert push(Release(model, REPO), api=api) == first
    assert hub.requests - before == {"create": 1, "info": 1, "tree": 1}
    assert hub.commits(REPO) == 1


def test_the_process_is_left_as_it_was(api, model):
    environment, timeout = dict(os.environ), get_session().timeout
    push(Release(model, REPO), api=api)
    assert dict(os.environ) == environment
    assert get_session().timeout == timeout


def test_only_what_changed_is_sent_and_leftovers_go(hub, api, model):
    push(Release(model, REPO), api=api)
    stale = [CommitOperationAdd("model-00001-of-00002.safetensors", b"x"), CommitOperationAdd("notes.md", b"mine")]
    api.create_commit(REPO, stale, commit_message="Add")
    before = hub.requests.copy()
    (model / "generation_config.json").write_text('{"do_sample": false}')
    push(Release(model, REPO), api=api)
    assert (hub.requests - before)["lfs-put"] == 0
    assert published(hub) == {**local(Release(model, REPO)), "notes.md": b"mine"}
    assert hub.commits(REPO) == 3


LOAD = """
import hashlib, json, sys
sys.modules["amalia_vl_hf"] = None  # as if it were not installed
import torch
torch.set_num_threads(1)
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

QUESTION = {question!r}
{functions}

def load(repo, **options):
    model = AutoModelForImageTextToText.from_pretrained(repo, **options).eval()
    processor = AutoProcessor.from_pretrained(repo, **options)
    names = [type(each).__module__.split(".")[0] for each in (model, processor)]
    return names, weights_of(model), logits_of(model, processor), answer(model, processor)

stock = load({export!r})
without = load({repo!r}, trust_remote_code=True)
del sys.modules["amalia_vl_hf"]
import amalia_vl_hf
print(json.dumps([stock, without, load({repo!r})]))
"""


def weights_of(model):
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode() + weight.numpy().tobytes())
    return digest.hexdigest()


def logits_of(model, processor):
    image = Image.linear_gradient("L").resize((70, 50)).convert("RGB")
    inputs = processor(text=["<image> " + QUESTION], images=[image], return_tensors="pt")
    with torch.no_grad():
        return hashlib.sha256(model(**inputs).logits.numpy().tobytes()).hexdigest()


def test_both_repositories_load_in_a_fresh_process_with_and_without_the_package(hub, api, model, tmp_path):
    """The export in stock classes, the model as remote code and in the package's: weights and logits bit for bit."""
    push(Release(model, REPO, private=True, export_id="org/export"), api=api)
    functions = "".join(map(inspect.getsource, (answer, weights_of, logits_of)))
    stock, *ours = run_python(
        LOAD.format(question=QUESTION, functions=functions, repo=REPO, export="org/export"),
        cwd=tmp_path,
        HF_ENDPOINT=hub.url,
        HF_HOME=str(tmp_path / "home"),
        HF_TOKEN=TOKEN,
        HF_HUB_OFFLINE="0",
        HF_HUB_DISABLE_XET="1",
    )
    here, processor = (
        AmaliaVLForConditionalGeneration.from_pretrained(model).eval(),
        AmaliaVLProcessor.from_pretrained(model),
    )
    computed = [logits_of(here, processor), answer(here, processor)]
    assert ours == [
        [["transformers_modules"] * 2, weights_of(here), *computed],
        [["amalia_vl_hf"] * 2, weights_of(here), *computed],
    ]
    exported = LlavaNextForConditionalGeneration.from_pretrained(saved(hub, "org/export", tmp_path / "export"))
    assert stock == [["transformers"] * 2, weights_of(exported), *computed]


def saved(hub, repo, folder):
    """Write what a repository holds into a directory."""
    folder.mkdir()
    for path, content in published(hub, repo).items():
        (folder / path).write_bytes(content)
    return folder


def test_shards_are_pushed_with_their_index(hub, api, model):
    (model / "model.safetensors").unlink()
    AmaliaVLForConditionalGeneration(
        AmaliaVLForConditionalGeneration.config_class.from_pretrained(model)
    ).save_pretrained(model, max_shard_size="200KB")
    write_report(model)
    push(Release(model, REPO), api=api)
    index = json.loads(published(hub)["model.safetensors.index.json"])
    shards = set(index["weight_map"].values())
    assert len(shards) > 1
    assert shards <= published(hub).keys()


def test_the_export_is_published_beside_the_model(hub, api, model, tmp_path):
    addresses = push(Release(model, REPO, export_id="org/export"), api=api)
    assert [address.split("/commit/")[0] for address in addresses] == [f"{hub.url}/{REPO}", f"{hub.url}/org/export"]
    assert [hub.commits(repo) for repo in (REPO, "org/export")] == [1, 1]
    assert not [path for path in published(hub, "org/export") if path.endswith(".py")]
    assert json.loads(published(hub, "org/export")["config.json"])["model_type"] == "llava_next"
    assert json.loads(published(hub, "org/export")["conversion.json"])["sources"]["model"]["name"] == REPO
    same = AmaliaVLForConditionalGeneration.from_pretrained(saved(hub, "org/export", tmp_path / "exported"))
    assert weights_of(same) == weights_of(AmaliaVLForConditionalGeneration.from_pretrained(model))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_full_disk_leaves_the_hub_and_the_disk_as_they_were(hub, model, tmp_path, monkeypatch, capsys):
    """Only the export takes room; a model that is sent as it is needs not even a place that may be written to."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    words = ["push", str(model), REPO, "--with-llava-next", "org/export"]
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    before = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        assert main(words) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("amalia-vl: the disk is full ([Errno 28]")
        assert not hub.requests
        assert sorted(tmp_path.rglob("*")) == before
        assert main(words[:3]) == 0
    assert main(words) == 0
    assert [hub.commits(repo) for repo in (REPO, "org/export")] == [2, 1], "the card names the export now"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_llava_next_cannot_express_is_not_published_at_all(hub, api, model):
    processor = AmaliaVLProcessor.from_pretrained(model)
    processor.image_processor.max_tiles = 0
    processor.save_pretrained(model)
    write_report(model)
    with pytest.raises(ValueError, match="llava_next always does"):
        push(Release(model, REPO, export_id="org/export"), api=api)
    assert not hub.requests


@pytest.fixture
def quantised(model):
    """A model as compressed-tensors keeps it: weights in bytes, scales beside them, and the measured distance."""
    (model / "verify.json").unlink()  # it equals no source
    weights = load_file(model / "model.safetensors")
    for name in [name for name in weights if ".layers.0.self_attn.q_proj" in name and "language" in name]:
        weights[name.replace(".weight", ".weight_scale")] = torch.ones(len(weights[name]), 1)
        weights[name] = weights[name].to(torch.float8_e4m3fn)
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "compressed-tensors"}
    (model / "config.json").write_text(json.dumps(config))
    (model / "quantisation.json").write_text(json.dumps({**FIGURES, "method": "fp8", "layers": {"float8": 14}}))
    return model


def test_a_quantised_model_is_published_with_how_far_it_is_from_its_original(hub, api, quantised):
    text, problems = describe(Release(quantised, REPO), api=api)
    assert "quantisation.json\n" in text
    assert problems == []
    push(Release(quantised, REPO), api=api)
    sent = published(hub)
    assert sent == local(Release(quantised, REPO))
    assert sent["quantisation.json"] == (quantised / "quantisation.json").read_bytes()
    assert sent["model.safetensors"] == (quantised / "model.safetensors").read_bytes()
    assert "As camadas lineares do descodificador estão em `fp8`".encode() in sent["README.md"]
    (quantised / "quantisation.json").write_text('{"method": "int3"}')
    with pytest.raises(ValueError, match="is not a record of `amalia-vl convert quantise`"):
        push(Release(quantised, REPO), api=api)
    assert published(hub) == sent


def test_a_quantised_model_has_no_export(hub, api, quantised):
    with pytest.raises(ValueError, match="is quantised; convert the checkpoint that it was made from"):
        push(Release(quantised, REPO, export_id="org/export"), api=api)
    assert not hub.repositories


def test_a_branch_is_made_and_main_stays(hub, api, model):
    push(Release(model, REPO, revision="v1.0"), api=api)
    assert published(hub, revision="v1.0") == local(Release(model, REPO))
    assert published(hub) == {}
    push(Release(model, REPO, revision="v1.0"), api=api)
    assert hub.commits(REPO, "v1.0") == 1


def test_private_is_private(hub, api, model):
    push(Release(model, REPO, private=True), api=api)
    assert hub.repositories[REPO].private
    push(Release(model, "org/open"), api=api)
    (model / "card.yaml").write_text((model / "card.yaml").read_text().replace("fotografia", "outra"))
    before = published(hub, "org/open")
    with pytest.raises(PushError, match="org/open exists and is public, but --private was asked"):
        push(Release(model, "org/open", private=True), api=api)
    assert published(hub, "org/open") == before


def test_results_are_published(hub, api, model, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(SCORES))
    push(Release(model, REPO, results=tmp_path / "results.json"), api=api)
    assert [entry["value"] for entry in yaml.safe_load(published(hub)[".eval_results/amalia_vl.yaml"])] == [89.4, 69]
    assert b"model-index" in published(hub)["README.md"]
    push(Release(model, REPO), api=api)
    assert ".eval_results/amalia_vl.yaml" not in published(hub)


def test_a_dry_run_says_what_would_be_sent_and_changes_nothing(hub, api, model):
    (model / "card.yaml").write_text("license: apache-2.0")
    (model / "verify.json").write_text("{")
    text, problems = describe(Release(model, REPO, export_id="org/export"), api=api)
    assert not hub.repositories
    assert hub.requests.keys() <= {"tree", "info"}
    weights = (model / "model.safetensors").stat().st_size
    assert f"{weights:,}  model.safetensors\n" in text
    assert text.splitlines()[-1].endswith("made when it is pushed, for org/export")
    assert text.splitlines()[-2].endswith(f"bytes to send, in {len(gather(model))} files")
    assert [problem.split(":")[0] for problem in problems[1:]] == ["card"] * 3
    assert "verify.json is not a report" in problems[0]


def test_a_dry_run_counts_what_is_there(hub, api, model):
    push(Release(model, REPO), api=api)
    api.create_commit(REPO, [CommitOperationAdd("model-00001-of-00002.safetensors", b"x")], commit_message="Add")
    (model / "generation_config.json").write_text("{}")
    text, problems = describe(Release(model, REPO), api=api)
    assert text.endswith("2  bytes to send, in 1 files; removed: model-00001-of-00002.safetensors")
    assert problems == []


def test_a_dry_run_without_network(model):
    with HubServer() as gone:
        pass
    text, _ = describe(Release(model, REPO), api=HfApi(gone.url, token=TOKEN))
    assert f"how much of it {gone.url} has is not known" in text


def test_the_command(hub, model, monkeypatch, capsys):
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["push", str(model), REPO, "--dry-run"]) == 0
    assert "bytes to send" in capsys.readouterr().out
    assert main(["push", str(model), REPO]) == 0
    assert f"published: {hub.url}/{REPO}/commit/" in capsys.readouterr().out
    (model / "verify.json").unlink()
    (model / "training.json").unlink()
    assert main(["push", str(model), REPO]) == 2
    assert "verify.json is missing" in capsys.readouterr().err
    assert main(["push", str(model), REPO, "--dry-run"]) == 2
    write_log(model, "align", epochs=1)
    assert main(["push", str(model), REPO]) == 0, "what was trained here has no source to be compared with"
    assert main(["push", str(model / "other"), REPO]) == 2
    assert "no such directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (None, "verify.json is missing, so nothing shows that the model equals its source; run `amalia-vl convert"),
        ("{", "is not a report of `amalia-vl convert verify`"),
        ('{"passed": true}', "is not a report of `amalia-vl convert verify`: KeyError"),
        ('{"passed": true, "first": "a", "second": "b"}', "compares a with b, not /.*model; run"),
        ('{"passed": true, "first": "MODEL", "second": "MODEL"}', "compares /.* with /.*, not /.*; run"),
        ('{"passed": false, "first": "a", "second": "MODEL"}', "says that a and .* differ"),
        ('{"passed": 1, "first": "a", "second": "MODEL"}', "says that a and .* differ"),
    ],
)
def test_what_is_not_verified_is_not_published(hub, api, model, report, said):
    (model / "verify.json").unlink()
    if report is None:
        (model / "training.json").unlink()
    else:
        (model / "verify.json").write_text(report.replace("MODEL", str(model)))
    with pytest.raises(PushError, match=said):
        push(Release(model, REPO), api=api)
    assert not hub.requests


def test_an_import_is_published_when_it_was_compared_with_its_source(hub, api, imported, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    verify_as("source", "imported")
    assert json.loads((imported / "verify.json").read_text())["first"] == str(tmp_path / "source")
    push(Release(Path("imported"), REPO), api=api)
    assert b"nada foi treinado aqui" in published(hub)["README.md"]
    assert json.loads(published(hub)["conversion.json"])["sources"] == {"model": {"name": "source", "revision": None}}
    assert not any(str(tmp_path).encode() in content for content in published(hub).values())


def test_an_import_that_was_compared_with_another_is_not_published(hub, api, imported, tmp_path):
    shutil.copytree(tmp_path / "source", tmp_path / "copy")
    verify_as(tmp_path / "copy", imported)
    with pytest.raises(PushError, match=r"compares .*/copy with .*/imported, not with .*/source, its source; run `.*"):
        push(Release(imported, REPO), api=api)
    assert not hub.requests


def test_an_import_whose_record_has_lost_its_path_may_be_compared_with_any(hub, api, imported, tmp_path):
    """As when someone publishes anew what they downloaded: the record there names no path."""
    (imported / "conversion.json").write_text(read_provenance(imported).published().json())
    verify_as(tmp_path / "source", imported)
    push(Release(imported, REPO), api=api)
    assert hub.commits(REPO) == 1


def change_a_byte(path):
    """Change the last byte, and leave size and time as they were."""
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def change_a_value(path):
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"changed": True}))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", change_a_byte),
        ("config.json", change_a_value),
        ("processor_config.json", change_a_value),
        ("tokenizer.json", change_a_value),
        ("chat_template.jinja", change_a_byte),
    ],
)
def test_a_report_of_other_files_does_not_count(hub, api, model, name, change):
    change(model / name)
    with pytest.raises(PushError, match=f"verify.json compares a model with another {name}; run `amalia-vl convert"):
        push(Release(model, REPO), api=api)
    assert not hub.requests


def test_a_report_without_hashes_does_not_count(api, model):
    (model / "verify.json").write_text(json.dumps({"passed": True, "first": "a", "second": str(model)}))
    with pytest.raises(PushError, match=r"compares a model with another .*model\.safetensors"):
        push(Release(model, REPO), api=api)


def test_a_report_counts_whenever_it_was_written(hub, api, model):
    os.utime(model / "verify.json", (0, 0))
    push(Release(model, REPO), api=api)
    assert hub.commits(REPO) == 1


@pytest.mark.parametrize("unverified", [False, True])
@pytest.mark.parametrize(
    "name",
    ["LICENSE", "model.safetensors", "config.json", "verify.json", "training.json", "card.yaml", "added_tokens.json"],
)
def test_links_out_of_the_folder_are_refused(hub, api, model, tmp_path, name, unverified):
    secret = tmp_path / "id_rsa"
    secret.write_bytes((model / name).read_bytes() if (model / name).exists() else b"{}")
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(secret)
    for publish in (push, describe):
        with pytest.raises(ValueError, match=rf"model/{name} leads to .*/id_rsa, out of the directory; copy into it"):
            publish(Release(model, REPO), unverified=unverified, api=api)
    assert not hub.requests


def test_links_in_the_folder_and_to_it_are_followed(hub, api, model, tmp_path):
    (tmp_path / "link").symlink_to(model)
    (model / "special_tokens_map.json").symlink_to("generation_config.json")
    push(Release(tmp_path / "link", REPO), unverified=True, api=api)
    assert published(hub)["special_tokens_map.json"] == published(hub)["generation_config.json"]


def test_a_snapshot_of_the_hubs_client_is_published(hub, api, model, tmp_path):
    keep_in_hub_cache(tmp_path / "cache", "org/other", model)
    (snapshot,) = (tmp_path / "cache").glob("models--*/snapshots/*")
    push(Release(snapshot, REPO), unverified=True, api=api)
    assert hub.commits(REPO) == 1
    (snapshot / "LICENSE").symlink_to("../../refs/main")
    with pytest.raises(ValueError, match=r"LICENSE leads to .*, out of the directory"):
        push(Release(snapshot, REPO), unverified=True, api=api)


def test_what_is_no_plain_file_is_refused(hub, api, model):
    os.mkfifo(model / "LICENSE")
    with pytest.raises(ValueError, match="LICENSE is no plain file"):
        push(Release(model, REPO), api=api)
    (model / "LICENSE").unlink()
    (model / "LICENSE").symlink_to("LICENSE")
    with pytest.raises(ValueError, match="LICENSE is no plain file"):
        push(Release(model, REPO), api=api)
    assert not hub.requests


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "optimizer.pt", ".env", "id_rsa", "run.py", "checkpoint-5/x.json"]
)
def test_unexpected_files_are_refused(hub, api, model, name):
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=f"holds files that are not published: {name.split('/')[0]}"):
        push(Release(model, REPO), api=api)
    assert not hub.requests


def test_pickles_are_called_by_their_name(model):
    (model / "weights.pkl").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"weights\.pkl: pickles run code when they are read"):
        gather(model)


def test_access_tokens_stay_here(model):
    (model / "tokenizer_config.json").write_text(json.dumps({"token": "hf_" + "a1" * 17}))
    with pytest.raises(ValueError, match=r"tokenizer_config.json holds what looks like a Hub access token"):
        gather(model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "processor_config.json"])
def test_half_a_model_is_refused(model, name):
    (model / name).unlink()
    with pytest.raises(ValueError, match=f"lacks {name}; were model and processor both saved there"):
        gather(model)


def test_weights_must_be_whole(model):
    shutil.copy(model / "model.safetensors", model / "model-00001-of-00002.safetensors")
    with pytest.raises(ValueError, match=r"holds model-00001-of-00002.safetensors, which no index names"):
        gather(model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match="was the download cut"):
        gather(model)


def test_a_config_without_code_is_refused(model):
    config = json.loads((model / "config.json").read_text())
    del config["auto_map"]
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="has no auto_map, so nobody could load it without the package"):
        gather(model)


def test_the_code_is_the_packages_own(model):
    (model / "modeling_amalia_vl.py").write_text("import os; os.system('true')")
    assert gather(model)["modeling_amalia_vl.py"] == exported_code()["modeling_amalia_vl.py"]


def test_the_licence_is_the_models(model):
    assert license_text(model, "apache-2.0").lstrip().startswith(b"Apache License")
    with pytest.raises(ValueError, match="the text of licence gemma is not at hand; put it into"):
        license_text(model, "gemma")
    (model / "LICENSE").write_text("Gemma Terms of Use")
    assert license_text(model, "gemma") == b"Gemma Terms of Use"


def test_a_card_with_gaps_is_not_published(hub, api, model):
    (model / "card.yaml").unlink()
    with pytest.raises(CardError, match="slot license has no value"):
        push(Release(model, REPO), api=api)
    assert not hub.requests


def test_a_private_model_needs_no_example_picture(hub, api, model):
    card = yaml.safe_load(FACTS)
    del card["widget_image"]
    (model / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(CardError, match="slot widget_image has no value"):
        push(Release(model, REPO), api=api)
    push(Release(model, REPO, private=True), api=api)
    assert b"widget" not in published(hub)["README.md"]


@pytest.fixture
def adapters(model):
    """Adapters beside the model that they are merged into, as `amalia-vl train` leaves them."""
    folder = model / "adapter"
    get_peft_model(AmaliaVLForConditionalGeneration.from_pretrained(model), LORA).save_pretrained(folder)
    (folder / "card.yaml").write_text("license: apache-2.0\nbase_model: amalia-llm/AMALIA-VL-DPO\ndatasets: []\n")
    return folder


def test_adapters_are_published_alone(hub, api, adapters):
    assert json.loads((adapters / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        adapters.parent
    )
    push(Release(adapters, REPO), api=api)
    files = published(hub)
    assert files.keys() == {"adapter_config.json", "adapter_model.safetensors", "README.md", "LICENSE"}
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "amalia-llm/AMALIA-VL-DPO"
    assert files["adapter_model.safetensors"] == (adapters / "adapter_model.safetensors").read_bytes()
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "peft"
    assert "| align | sft |" in card, "the stages are in the log of the model beside them"
    assert not any(str(adapters.parent).encode() in content for content in files.values())


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (FACTS, "adapters change one base model, but card.yaml gives base_model: .*siglip2.*AMALIA-9B"),
        ("license: apache-2.0\ndatasets: []\n", "adapters change one base model, but card.yaml gives base_model"),
    ],
)
def test_adapters_name_their_one_base_model(hub, api, adapters, facts, said):
    (adapters / "card.yaml").write_text(facts)
    with pytest.raises(CardError, match=said):
        push(Release(adapters, REPO), api=api)
    assert describe(Release(adapters, REPO), api=api)[1]
    assert not hub.commits(REPO)


def test_adapters_that_are_pickled_or_lead_elsewhere_are_refused(hub, api, adapters):
    weights = adapters / "adapter_model.safetensors"
    weights.rename(adapters.parent / "elsewhere.safetensors")
    weights.symlink_to(adapters.parent / "elsewhere.safetensors")
    with pytest.raises(ValueError, match="out of the directory"):
        push(Release(adapters, REPO), api=api)
    weights.rename(adapters / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"no adapter_model\.safetensors"):
        push(Release(adapters, REPO), api=api)
