"""Datasets that several models write: who is asked what, what an edit asks again, and what it all costs."""

import json
import shutil
from collections import Counter
from contextlib import ExitStack

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf import cli
from amalia_vl_hf.data import prompts
from amalia_vl_hf.data.building.cost import read_costs, total
from amalia_vl_hf.data.building.pipeline import PROGRESS, SOURCE, STAGES
from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build, progress
from amalia_vl_hf.data.steps import NO_ANSWER, Item, Step

from ...asking.model_server import GREETING, Fault, ModelServer, completion, pictures_of, text_of
from .written import DATASET, NAME, register, say_of, write_images

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


def test_the_bar_of_stages_that_ask_nobody_moves_by_sample(toy, tmp_path, monkeypatch):
    def worked(items):
        for number, item in enumerate(items):
            seen.append((progress(path), number))
            yield item

    steps, seen, path = DATASET.steps, [], tmp_path / "out" / STAGES / "work" / PROGRESS
    monkeypatch.setattr(DATASET, "steps", lambda recipe: (Step("work", work=worked), *steps(recipe)))
    build(toy(), tmp_path / "out", until="work")
    assert seen == [(count, count % 4) for count in range(COUNT)]
    assert progress(path) == progress(path.parents[1] / SOURCE / PROGRESS) == COUNT


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


def test_what_got_no_answer_is_asked_again_when_that_is_wanted(toy, servers, tmp_path, capsys):
    servers["answerer"].script = lambda content, _: None if content == GREETING else Fault(400, b"too long")
    tally = build(toy(), tmp_path / "out")
    assert tally.made == 0
    assert tally.rejected == {NO_ANSWER: 2 * COUNT}
    before, servers["answerer"].script = asked(servers), script
    assert build(toy(), tmp_path / "out").made == 0
    assert asked(servers) == before
    words = ["data", "build", NAME, "--recipe", str(tmp_path / "toy.yaml"), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--retry-failed"]) == 0
    assert "samples are in" in capsys.readouterr().out
    assert servers["answerer"].posts == 2 * before["answerer"] - 3, "three greetings were asked the first time"
    assert (servers["captioner"].posts, servers["questioner"].posts) == (before["captioner"], before["questioner"])
    build(toy(), tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_answer_that_is_no_good_is_asked_again_warmer_and_with_other_seeds(toy, servers, tmp_path):
    images = iter(sorted({row["image"][:8] for row in toy().manifest.read(0, COUNT)}))
    stubborn, slow = next(images), next(images)
    seen = Counter()

    def say(content, count):
        text = text_of(content)
        seen[text] += 1
        again = stubborn in text or (slow in text and seen[text] <= 2)
        return Fault(body=completion("outra vez" if again else say_of(text)))

    servers["captioner"].script = say
    tally = build(toy("roles.captioner.attempts=3", "roles.captioner.warmer=0.5"), tmp_path / "out", until="describe")
    assert tally.rejected == {"a caption to be written again": 1}
    assert tally.made == COUNT - 1
    bodies = [body for body in servers["captioner"].bodies if stubborn in text_of(body["messages"][-1]["content"])]
    assert sorted(body["seed"] for body in bodies) == [0, 1, 2, 3, 4, 5]
    assert [body["temperature"] for body in bodies] == [0.7, 0.7, 1.2, 1.2, 1.7, 1.7]
    assert servers["captioner"].posts == 2 * (COUNT + 2 + 1)


def test_it_stops_where_it_is_told_and_goes_on(toy, servers, tmp_path):
    tally = build(toy("settings.longest=4"), tmp_path / "out", until="longest")
    assert (tally.made, tally.rejected) == (4, {"a shorter caption": COUNT - 4})
    assert asked(servers) == {"captioner": 2 * COUNT, "questioner": 0, "answerer": 0, "verifier": 0}
    assert not (tmp_path / "out" / "data").exists()
    build(toy("settings.longest=4"), tmp_path / "out")
    assert asked(servers)["questioner"] == 4
    build(toy("settings.longest=5"), tmp_path / "out")
    assert asked(servers) == {"captioner": 2 * COUNT, "questioner": 5, "answerer": 10, "verifier": 10}
    with pytest.raises(ValueError, match="no stage judge; there are source, describe"):
        build(toy(), tmp_path / "out", until="judge")


def test_a_complete_build_reads_no_image(toy, servers, tmp_path):
    tally = build(toy(), tmp_path / "out")
    before = asked(servers)
    shutil.rmtree(tmp_path / "images")
    assert build(toy(), tmp_path / "out") == tally
    assert asked(servers) == before


def test_a_dry_run_says_what_it_would_ask_and_cost_and_asks_nothing(toy, servers, tmp_path, capsys):
    words = ["--recipe", str(tmp_path / "toy.yaml"), "--out", str(tmp_path / "out"), "--dry-run"]
    build_it = ["data", "build", NAME]
    assert cli.main([*build_it, "roles.captioner.max_tokens=100", *words, "--count", "6"]) == 0
    said = capsys.readouterr().out
    assert "step 1, describe: up to 12 requests to m-captioner" in said
    assert f"{12 * 100} of answers (at most)" in said
    assert "Descreve a imagem " in said
    assert "Faz duas perguntas, uma por linha: $caption" in said, "what it will be filled with is not known yet"
    assert sum(asked(servers).values()) == 0
    assert not (tmp_path / "out").exists()
    build(toy("count=4"), tmp_path / "out")
    calls, money = sum(asked(servers).values()), total(read_costs(tmp_path / "out")).money
    assert cli.main([*build_it, *words, "--count", "8"]) == 0
    said = capsys.readouterr().out
    assert "(as measured here)" in said
    assert f"in all: {2 * calls} requests" in said
    assert f"money {2 * money:.2f}" in said.splitlines()[-1]
    assert "Responde: O que é " in said
    assert sum(asked(servers).values()) == calls


def test_yields_far_from_the_papers_are_told(toy, servers, tmp_path):
    servers["verifier"].script = lambda content, count: Fault(body=completion("não"))
    tally = build(toy(), tmp_path / "out")
    assert "far off: verify keeps 0% of its items, in the paper 75%" in tally.table()
    assert f"verify {'':<17} {2 * COUNT:>9} -> {0:>9}, {2 * COUNT} rejected".split() in [
        line.split() for line in tally.table().splitlines()
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["roles.judge.url=http://h", "roles.judge.model=m"], "toy-written has no step that asks judge"),
        (["roles.verifier=null"], "roles.verifier must hold `key: value` lines"),
        (["roles.verifier.temprature=1"], "unknown key 'roles.verifier.temprature'.*did you mean"),
        (["roles.verifier.top_p=2"], "roles.verifier: temperature 0.7, top_p 2.0"),
        (["roles.verifier.extra={seed: 1}"], "roles.verifier: extra: seed is for the role itself to say"),
        (["roles.verifier.extra={day: 2026-01-01}"], "roles.verifier: extra is no JSON"),
        (["roles.verifier.images={by: post}"], "roles.verifier.images: images go by data or file, not by 'post'"),
        (["roles.verifier.attempts=0"], "roles.verifier: 0 attempts"),
        (["settings.longest=many"], "settings.longest must be a whole number"),
        (["settings.shortest=1"], "unknown key 'settings.shortest'"),
        (["count=21"], "count is 21, and what it is made of has 20 entries"),
        (["images=toy.yaml"], "toy.yaml is no manifest of images"),
        (["dataset=nothing"], "unknown dataset 'nothing'; known: .*toy-written"),
        (["dataset=sepic"], "sepic has one role, writer, and no answerer"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_told_by_its_key(toy, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=told):
        toy(*words)


def test_a_role_that_is_missing_is_told(toy, tmp_path):
    values = yaml.safe_load((tmp_path / "toy.yaml").read_text(encoding="utf-8"))
    del values["roles"]["verifier"]
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ValueError, match="toy-written asks verifier, and the recipe has no such role"):
        toy()


def test_a_key_goes_to_the_server_that_it_is_named_for_alone(toy, servers, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-outro")
    monkeypatch.setenv("VERIFIER_KEY", "sk-meu")
    recipe = toy("roles.verifier.key=VERIFIER_KEY")
    assert {role: endpoint.secret() for role, endpoint in recipe.roles.items()} == {
        "captioner": "", "questioner": "", "answerer": "", "verifier": "sk-meu"
    }  # fmt: skip


def test_candidates_at_temperature_0_would_be_one(toy, tmp_path):
    with pytest.raises(ValueError, match="step describe wants 2 candidates, and at temperature 0 they are one"):
        build(toy("roles.captioner.temperature=0"), tmp_path / "out")


def test_steps_that_cannot_be(toy):
    work = lambda items: items  # noqa: E731
    with pytest.raises(ValueError, match="either a role with `ask` and `read`, or `work` alone"):
        Step("a", role="captioner", work=work)
    with pytest.raises(ValueError, match="either a role"):
        Step("a")
    with pytest.raises(ValueError, match="only `work` may see all items"):
        Step("a", role="b", ask=lambda item: [], read=lambda item, answers: [], scope="all")
    with pytest.raises(ValueError, match="names are of small letters"):
        Step("../a", work=work)


@pytest.mark.parametrize("scope", ["shard", "all"])
def test_items_that_are_there_twice_or_come_from_nowhere_are_errors(toy, tmp_path, monkeypatch, scope):
    def build_with(work):
        monkeypatch.setattr(DATASET, "steps", lambda recipe: (Step("odd", work=work, scope=scope),))
        recipe = load_build(tmp_path / "toy.yaml", ["roles={}"])
        build(recipe, tmp_path / "out")

    with pytest.raises(ValueError, match=r"items 00000000, .* are there more than once"):
        build_with(lambda items: [item for item in items for _ in range(2)])
    with pytest.raises(ValueError, match="item 00000000: its data are no JSON"):
        build_with(lambda items: [item.having(bad={1}) for item in items])
    if scope == "all":
        with pytest.raises(ValueError, match="item 99999999 comes from no entry of the source"):
            build_with(lambda items: [Item("99999999", item.data) for item in items][:1])
