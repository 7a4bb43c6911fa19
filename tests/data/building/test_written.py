"""Datasets that several models write: who is asked what, what an edit asks again, and what it all costs."""

import json
from collections import Counter
from contextlib import ExitStack

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf import cli
from amalia_vl_hf.data import prompts
from amalia_vl_hf.data.building.cost import read_costs, total
from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build

from ...asking.model_server import Fault, ModelServer, completion, pictures_of, text_of
from .written import NAME, register, say_of, write_images

ROLES = ("captioner", "questioner", "answerer", "verifier")
COUNT = 10


def script(content, count):
    text = text_of(content)
    return Fault(body=completion(say_of(text), tokens=(len(text), 7)))


@pytest.fixture
def servers():
    with ExitStack() as stack:
        yield {
            role: stack.enter_context(ModelServer((f"m-{role}",), script=script, keep_bodies=True)) for role in ROLES
        }


@pytest.fixture
def toy(tmp_path, monkeypatch, servers):
    """Write the recipe, and give what reads it with `key=value` words over it."""
    register(tmp_path, monkeypatch.setitem, monkeypatch.setattr)
    write_images(tmp_path / "images", 2 * COUNT)
    values = {
        "dataset": NAME,
        "count": COUNT,
        "shard_size": 4,
        "images": str(tmp_path / "images.parquet"),
        "roles": {
            role: {"url": server.url, "model": f"m-{role}", "price": {"prompt": 1000.0, "completion": 2000.0}}
            for role, server in servers.items()
        },
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return lambda *words: load_build(tmp_path / "toy.yaml", words)


def asked(servers):
    return {role: server.posts for role, server in servers.items()}


def contents(out):
    return {path.name: path.read_bytes() for path in sorted((out / "data").iterdir())}


def rows_of(out):
    return [row for path in sorted((out / "data").iterdir()) for row in pq.read_table(path).to_pylist()]


def test_each_role_is_asked_what_is_its_own(toy, servers, tmp_path):
    recipe = toy("roles.questioner.thinking=false", "roles.verifier.extra.top_k=20", "roles.captioner.seed=5")
    tally = build(recipe, tmp_path / "out")
    bodies = {role: server.bodies for role, server in servers.items()}
    files = {path.read_bytes() for path in (tmp_path / "images").iterdir()}
    shown = Counter(picture for body in bodies["captioner"] for picture in pictures_of(body))
    assert len(shown) == COUNT
    assert set(shown) <= files
    assert set(shown.values()) == {2}
    assert Counter(body["seed"] for body in bodies["captioner"]) == {5: COUNT, 6: COUNT}
    assert len({json.dumps(body) for body in bodies["captioner"]}) == 2 * COUNT
    assert all(body["model"] == f"m-{role}" for role in ROLES for body in bodies[role])
    assert all(body["chat_template_kwargs"] == {"enable_thinking": False} for body in bodies["questioner"])
    assert all(body["top_k"] == 20 for body in bodies["verifier"])
    assert [turn["role"] for turn in bodies["answerer"][0]["messages"]] == ["system", "user"]
    assert len(bodies["answerer"]) == 2 * COUNT
    said_no = sum(say_of(text_of(body["messages"][-1]["content"])) == "não" for body in bodies["verifier"])
    assert tally.rejected == {"not verified": said_no}
    assert said_no
    assert tally.made == len(rows_of(tmp_path / "out")) <= COUNT
    row = rows_of(tmp_path / "out")[0]
    assert row["images"][0]["bytes"] in files
    assert row["model"] == "m-answerer, m-captioner, m-questioner, m-verifier"
    assert (row["source"], row["licence"], row["task"], row["index"]) == ("Toy", "Apache-2.0", "toy", 0)


def test_a_change_asks_from_where_it_is_on(toy, servers, tmp_path):
    out = tmp_path / "out"
    build(toy(), out)
    before, rows = asked(servers), contents(out)
    build(toy("roles.captioner.parallel=1", "roles.captioner.timeout=9"), out)
    assert asked(servers) == before, "how fast, and where, is not what"
    path = prompts.FOLDER / "toys" / "prompts" / NAME / "verify.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Diz sim", "Diz sim,"), encoding="utf-8")
    build(toy(), out)
    assert asked(servers) == {**before, "verifier": 2 * before["verifier"]}
    path.write_text(text, encoding="utf-8")
    build(toy(), out)
    assert asked(servers) == {**before, "verifier": 2 * before["verifier"]}, "the first answers are still known"
    assert contents(out) == rows


def test_a_count_that_grows_asks_for_the_new_alone(toy, servers, tmp_path):
    build(toy(), tmp_path / "out")
    before = asked(servers)
    build(toy(f"count={2 * COUNT}"), tmp_path / "out")
    assert asked(servers) == {role: 2 * count for role, count in before.items()}
    build(toy(f"count={2 * COUNT}"), tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    with pytest.raises(ValueError, match=f"was begun with count {2 * COUNT} and not {COUNT}"):
        build(toy(), tmp_path / "out")


def test_costs_are_what_the_servers_counted(toy, servers, tmp_path, capsys):
    turned = Counter()

    def sometimes(text, count):
        turned[text] += 1
        if turned[text] == 1:
            return Fault(429, b"", {"Retry-After": "0"})
        return Fault(body=completion(say_of(text), "length" if text.startswith("Diz sim") else "stop", (len(text), 7)))

    servers["verifier"].script = sometimes
    build(toy("roles.verifier.attempts=3"), tmp_path / "out")
    costs = {cost.role: cost for cost in read_costs(tmp_path / "out")}
    for role, server in servers.items():
        assert costs[role].calls == server.posts
        assert [costs[role].prompt, costs[role].completion] == server.tokens
        assert costs[role].money == pytest.approx((server.tokens[0] * 1000 + server.tokens[1] * 2000) / 1e6)
    assert costs["verifier"].unheard == 2 * COUNT
    assert costs["verifier"].calls == 2 * COUNT * (1 + 3), "each cut short three times"
    assert cli.main(["data", "cost", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1].split()[1] == str(total(list(costs.values())).calls)
    assert cli.main(["data", "cost", str(tmp_path)]) == 2
