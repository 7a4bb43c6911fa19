"""Files made to hurt, wherever a checkpoint is read: within two seconds of work an error of one line."""

import json
import shutil
import time
from functools import lru_cache

import pytest
from PIL import Image

from amalia_vl_hf import AmaliaVLConfig, AmaliaVLImageProcessor
from amalia_vl_hf.cli import main
from amalia_vl_hf.conversion.tensor_files import MAX_DESCRIBED
from tests.conversion.checkpoints import write_amalia
from tests.conversion.publishing.publishable import write_model
from tests.conversion.test_compose import text_model, text_tokenizer
from tests.conversion.test_compose_checkpoint import write_parts

MILLION = 10**6
SECONDS = 2.0  # of work
LINE = 4200  # characters
DEEP = "[" * 100_000 + "]" * 100_000
PINPOINTS = [[32 * (1 + index % 400), 32 * (1 + index // 400)] for index in range(200_000)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sound checkpoints: `ours`, `theirs` (llava_next), `text`, `vision`, and a picture."""
    folder = tmp_path_factory.mktemp("sound")
    write_model(folder / "ours")
    write_amalia(folder / "theirs")
    write_parts(folder, text_model(text_tokenizer()))
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(folder / "picture.png")
    return folder


COMMANDS = {
    "import": "convert import {theirs} --out {out}",
    "export": "convert export {ours} --out {out}",
    "compose": "convert compose --vision {vision} --text {text} --out {out} --max-tiles 4",
    "verify": "convert verify {ours} {theirs}",
    "inspect": "inspect {picture} --model {ours} --out {out}.png",
    "push": "push {ours} a/b --dry-run",
    "ask": "ask {picture} ? --model {ours} --max-new-tokens 2",
}
SIDES = {"import": ("theirs",), "compose": ("text", "vision"), "verify": ("ours", "theirs")}


# What reads weights by their headers, by a command of each kind.
READERS = [("export", "ours"), ("compose", "text"), ("verify", "theirs"), ("push", "ours")]


def each_command(*left_out):
    """Every command with each checkpoint that it reads."""
    return [
        pytest.param(command, side, id=f"{command}-{side}")
        for command in COMMANDS
        if command not in left_out
        for side in SIDES.get(command, ("ours",))
    ]


def refused(folder, tmp_path, capfd, command, side, damage):
    """Run a command over a damaged checkpoint; give its last line."""
    places = {name: folder / name for name in ("ours", "theirs", "text", "vision")}
    places |= {"picture": folder / "picture.png", "out": tmp_path / "out"}
    places[side] = shutil.copytree(folder / side, tmp_path / side)
    damage(places[side])
    capfd.readouterr()
    start = time.process_time()
    code = main(COMMANDS[command].format(**places).split())
    worked = time.process_time() - start
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("amalia-vl")]
    assert code == 2
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert len(lines[0]) < LINE
    assert worked < SECONDS
    assert not (tmp_path / "out").exists()
    return lines[0]


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def in_each(part, **values):
    """Set values of a config's part, or of the config itself where it is that part."""

    def damage(directory):
        edit(directory / "config.json", lambda config: config.get(part, config).update(values))

    return damage


@pytest.mark.parametrize(("command", "side"), each_command("inspect"))
@pytest.mark.parametrize("layers", [MILLION, 10**12])
@pytest.mark.parametrize("part", ["text_config", "vision_config"])
def test_more_layers_than_any_model_has(folder, tmp_path, capfd, command, side, layers, part):
    line = refused(folder, tmp_path, capfd, command, side, in_each(part, num_hidden_layers=layers))
    assert "num_hidden_layers 1e+" in line


@pytest.mark.parametrize(("command", "side"), each_command("inspect"))
@pytest.mark.parametrize(
    "values", [{"x": PINPOINTS}, {f"x{index}": 0 for index in range(100_000)}], ids=["list", "keys"]
)
def test_more_settings_than_any_model_has(folder, tmp_path, capfd, command, side, values):
    line = refused(folder, tmp_path, capfd, command, side, in_each("text_config", **values))
    assert "values" in line or "bytes" in line


@pytest.mark.parametrize(("command", "side"), each_command("compose", "import"))
def test_more_canvases_than_any_model_has(folder, tmp_path, capfd, command, side):
    too_many = {"image_grid_pinpoints": PINPOINTS}

    def damage(directory):
        for name, key in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
            if (directory / name).is_file():
                edit(directory / name, lambda values, key=key: values.get(key, values).update(too_many))

    line = refused(folder, tmp_path, capfd, command, side, damage)
    assert "200000 canvases" in line or "values" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_grid_pinpoints": PINPOINTS, "size": 32}, "image_grid_pinpoints has 200000 canvases; at most 10000"),
        ({"max_tiles": MILLION}, "max_tiles is 1e\\+06; more than 1000 fit into no decoder"),
        ({"size": MILLION}, "size is 1000000 pixels; no tower's tiles are larger than 4096"),
    ],
)
def test_the_image_processor_itself_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        AmaliaVLImageProcessor(**options)


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(("command", "side"), each_command())
def test_lists_in_one_another(folder, tmp_path, capfd, command, side, name):
    if not (folder / side / name).exists() or (command, name) in (("inspect", "config.json"),):
        pytest.skip("is not read")
    if (command, name) in (("inspect", "tokenizer_config.json"),):
        pytest.skip("is not read")
    line = refused(folder, tmp_path, capfd, command, side, lambda directory: (directory / name).write_text(DEEP))
    assert "in one another" in line or "recursion" in line.lower()


@pytest.mark.parametrize(("command", "side"), [("verify", "ours"), ("verify", "theirs"), ("ask", "ours")])
@pytest.mark.parametrize("template", ["{% for i in range(10 ** 30) %}{% endfor %}", "{{ messages[9].role.x }}", "{%"])
def test_templates_that_cannot_be_rendered(folder, tmp_path, capfd, command, side, template):
    def damage(directory):
        (directory / "chat_template.jinja").write_text(template)

    line = refused(folder, tmp_path, capfd, command, side, damage)
    assert "the chat template cannot be rendered: " in line


def index_of(directory, content):
    (directory / "model.safetensors").unlink(missing_ok=True)
    for shard in directory.glob("model-*.safetensors"):
        shard.unlink()
    (directory / "model.safetensors.index.json").write_bytes(content)


def mapping(pairs):
    """Write an index; as text, because a name may stand in it twice, and because a million lines take a while."""
    return '{"weight_map": {' + ", ".join(f'"{name}": "{file}.safetensors"' for name, file in pairs) + "}}"


# Made when the first test needs them, not while tests are collected, and written once for all that read them.
INDEXES = {
    "a million": lambda: mapping((f"model.layers.{n}.weight", "model-00001-of-00001") for n in range(MILLION)),
    "many shards": lambda: mapping((f"layer{n}", f"model-{n}") for n in range(100_000)),
    "twice": lambda: mapping((f"a{n % 200_000}", "x") for n in range(200_001)),
    "long": lambda: mapping([("a", "x" * MILLION)]),
    "path": lambda: '{"weight_map": {"a": "../../../etc/passwd"}}',
    "control": lambda: json.dumps({"weight_map": {"a": "\x1b[2J\x9b31m.safetensors"}}),
    "deep": lambda: DEEP,
}


@lru_cache(maxsize=1)
def made(make):
    """Make a text, once for the tests that follow each other."""
    return make().encode()


@pytest.mark.parametrize(("command", "side"), READERS)
@pytest.mark.parametrize("name", INDEXES)
def test_indexes_made_to_hurt(folder, tmp_path, capfd, command, side, name):
    content = made(INDEXES[name])
    refused(folder, tmp_path, capfd, command, side, lambda directory: index_of(directory, content))


def header_of(directory, content):
    for path in (*directory.glob("*.safetensors"), *directory.glob("*.index.json")):
        path.unlink()
    (directory / "model.safetensors").write_bytes(len(content).to_bytes(8, "little") + content)


EMPTY = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
HEADERS = {
    "a million": lambda: "{" + ",".join(f'"a{number}":{EMPTY}' for number in range(MILLION)) + "}",
    "twice": lambda: "{" + ",".join(f'"a{number}":{EMPTY}' for number in range(100_000)) + f',"a1":{EMPTY}}}',
    "deep": lambda: DEEP,
    "long shape": lambda: EMPTY.replace("[0]", str([1] * MILLION)).join(('{"a":', "}")),
    "long dtype": lambda: EMPTY.replace("F32", "F" * MILLION).join(('{"a":', "}")),
    "long name": lambda: '{"' + "a" * MILLION + f'":{EMPTY}}}',
    "long number": lambda: EMPTY.replace("[0]", f"[{'9' * 4000}]").join(('{"a":', "}")),
}


@pytest.mark.parametrize(("command", "side"), READERS)
@pytest.mark.parametrize("name", HEADERS)
def test_headers_made_to_hurt(folder, tmp_path, capfd, command, side, name):
    content = made(HEADERS[name])
    refused(folder, tmp_path, capfd, command, side, lambda directory: header_of(directory, content))


@pytest.mark.parametrize(("command", "side"), READERS)
@pytest.mark.parametrize("part", ["text_config", "vision_config"])
@pytest.mark.parametrize("value", [10**9, 10**30, 0, "x" * MILLION])
def test_widths_that_cannot_be(folder, tmp_path, capfd, command, side, part, value):
    refused(folder, tmp_path, capfd, command, side, in_each(part, hidden_size=value))


def test_an_index_that_is_too_large_is_not_read(folder, tmp_path, capfd):
    def damage(directory):
        index_of(directory, b"{}")
        with (directory / "model.safetensors.index.json").open("ab") as file:
            file.truncate(MAX_DESCRIBED + 1)

    assert "an index of tensors has at most" in refused(folder, tmp_path, capfd, "export", "ours", damage)


def test_a_config_of_another_class_is_held_to_the_same(folder):
    config = AmaliaVLConfig.from_pretrained(folder / "ours")
    config.text_config.num_hidden_layers = MILLION
    with pytest.raises(ValueError, match=r"config has num_hidden_layers 1e\+06; no model has more than 1000"):
        AmaliaVLConfig(text_config=config.text_config, vision_config=config.vision_config)
