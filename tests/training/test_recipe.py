from pathlib import Path

import pytest

from amalia_vl_hf.training.recipe import RecipeError, load_recipe
from amalia_vl_hf.training.stages import ALIGN, INSTRUCT, PREFER, STAGES

TINY = Path(__file__).parents[2] / "recipes" / "tiny"
ALIGN_RECIPE = TINY / "1_align.yaml"
PREFER_RECIPE = TINY / "3_prefer.yaml"


def test_stages_are_table_2_of_the_paper():
    assert ALIGN.trainable == ("connector",)
    assert ALIGN.learning_rates == {"connector": 1e-3}
    assert (ALIGN.schedule, ALIGN.max_tiles, ALIGN.method) == ("constant", 0, "sft")
    assert INSTRUCT.learning_rates == {"tower": 2e-5, "connector": 1e-4, "decoder": 2e-5}
    assert (INSTRUCT.schedule, INSTRUCT.max_tiles, INSTRUCT.method) == ("cosine", 12, "sft")
    assert set(PREFER.learning_rates.values()) == {1e-6}
    assert (PREFER.schedule, PREFER.max_tiles, PREFER.method) == ("cosine", 12, "dpo")


@pytest.mark.parametrize("path", sorted(TINY.glob("[1-3]_*.yaml")), ids=lambda path: path.stem)
def test_every_tiny_recipe_parses_and_comments_its_values(path):
    recipe = load_recipe(path)
    assert recipe.training_stage.name in STAGES
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and "# " not in line] == []


def test_stage_values_fill_what_the_recipe_leaves_out(tmp_path):
    text = ALIGN_RECIPE.read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith(("learning_rates", "  connector", "max_tiles"))]
    (tmp_path / "short.yaml").write_text("\n".join(kept), encoding="utf-8")
    stage = load_recipe(tmp_path / "short.yaml").training_stage
    assert (stage.learning_rates, stage.max_tiles) == (ALIGN.learning_rates, ALIGN.max_tiles)


def test_overrides_replace_plain_nested_and_null_values():
    overrides = ["batch_size=3", "learning_rates.connector=5e-4", "epochs=null", "steps=7", "output=elsewhere"]
    recipe = load_recipe(ALIGN_RECIPE, overrides)
    assert (recipe.batch_size, recipe.epochs, recipe.steps, recipe.output) == (3, None, 7, "elsewhere")
    assert recipe.learning_rates == {"connector": 5e-4}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batchsize=3", r"unknown key 'batchsize' \(did you mean 'batch_size'\?\); known: stage, model,"),
        ("stage=instrct", r"unknown stage 'instrct' \(did you mean 'instruct'\?\); known: align, instruct, prefer"),
        ("batch_size=many", "batch_size must be a whole number, not 'many'"),
        ("batch_size=2.5", "batch_size must be a whole number, not 2.5"),
        ("batch_size=true", "batch_size must be a whole number, not True"),
        ("seed=null", "seed must be a whole number, not None"),
        ("weight_decay=[1]", r"weight_decay must be a number, not \[1\]"),
        ("model=3", "model must be text, not 3"),
        ("learning_rates=1e-3", "learning_rates must hold `name: number` lines, not '1e-3'"),
        ("learning_rates.decoder=1e-3", "stage align: unknown module in learning_rates 'decoder'.*known: connector"),
        (
            "learning_rates.conector=1e-3",
            r"unknown module in learning_rates 'conector' \(did you mean 'connector'\?\)",
        ),
        ("learning_rates.connector=0", "learning_rates.connector must be positive, not 0"),
        ("schedule=cosin", r"unknown schedule 'cosin' \(did you mean 'cosine'\?\)"),
        ("steps=3", "either epochs or steps, not epochs=1.0 and steps=3"),
        ("epochs=null", "either epochs or steps, not epochs=None and steps=None"),
        ("beta=0.1", "stage align does not read beta, but beta=0.1"),
        ("warmup=2", "0 <= warmup < 1, not 2"),
        ("warmup=0.1", "schedule constant does not read warmup=0.1"),
        ("max_length=0", "max_length must be positive, not 0"),
        ("max_tiles=-1", "max_tiles must not be negative, not -1"),
        ("precision=fp16", "unknown precision 'fp16'.*known: fp32, bf16"),
        ("resampler=cv2", "unknown resampler 'cv2'; known: pil, torch"),
        ("report_to=[wandbb]", r"unknown name in report_to 'wandbb' \(did you mean 'wandb'\?\)"),
        ("report_to=wandb", "report_to must be a list, not 'wandb'"),
        ("gradient_checkpointing=1", "gradient_checkpointing must be true or false, not 1"),
        ("adam_betas=[0.9]", r"adam_betas are two numbers, each 0 <= beta < 1, not \[0.9\]"),
        ("adam_betas=[0.9, 1]", r"adam_betas are two numbers, each 0 <= beta < 1, not \[0.9, 1.0\]"),
        ("adam_eps=0", "adam_eps must be positive, not 0"),
        ("processes=0", "processes must be positive, not 0"),
        ("global_batch=-1", "global_batch must be positive, not -1"),
        ("lora=8", "lora must hold `key: value` lines, not 8"),
        ("lora.rank=8", "lora.alpha is missing"),
        ("lora={rank: 8, alpha: 16, ranks: 1}", r"unknown key 'lora.ranks' \(did you mean 'lora.rank'\?\)"),
        ("lora={rank: 0, alpha: 16}", "lora.rank must be positive, not 0"),
        ("lora={rank: 8, alpha: 16, dropout: 1}", "lora.dropout is a share, 0 <= dropout < 1, not 1"),
        ("lora={rank: 8, alpha: 16, targets: []}", "lora.targets names no module"),
        ("lora={rank: 8, alpha: 16, targets: [conector]}", "unknown module in lora.targets 'conector' .did you mean"),
        ("lora={rank: 8, alpha: 16}", "lora.targets: stage align trains connector, not decoder"),
        ("batch_size", "override 'batch_size' is not of the form key=value"),
        ("batch_size.x=1", "override 'batch_size.x=1': batch_size holds one value"),
        ("batch_size=[", "1_align.yaml"),
    ],
)
def test_faulty_values_are_refused(override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(ALIGN_RECIPE, [override])


def test_adapters_are_trained_in_their_modules_only():
    stage = load_recipe(PREFER_RECIPE, ["learning_rates={}", "lora={rank: 8, alpha: 16}"]).training_stage
    assert stage.trainable == ("connector", "decoder")
    with pytest.raises(RecipeError, match="stage prefer with LoRA: unknown module in learning_rates 'tower'"):
        load_recipe(PREFER_RECIPE, ["learning_rates={tower: 1e-6}", "lora={rank: 8, alpha: 16}"])


def test_dpo_needs_its_beta():
    with pytest.raises(RecipeError, match="stage prefer needs beta, but beta=None"):
        load_recipe(PREFER_RECIPE, ["beta=null"])


def test_all_faults_are_reported_at_once():
    with pytest.raises(RecipeError, match=r"unknown key 'a'.*batch_size must be a whole number"):
        load_recipe(ALIGN_RECIPE, ["a=1", "batch_size=x"])


def test_missing_values_are_named(tmp_path):
    (tmp_path / "recipe.yaml").write_text("stage: align\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"model is missing; data is missing; .*max_length is missing"):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_recipe_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_text("- stage\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="not of one list"):
        load_recipe(tmp_path / "recipe.yaml")
