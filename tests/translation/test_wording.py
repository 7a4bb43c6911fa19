"""What is asked: all that must be said is in the prompt, and a verdict is read strictly."""

import pytest

from amalia_vl_hf.translation.structure import Fault
from amalia_vl_hf.translation.wording import (
    back_prompt,
    judge_prompt,
    one_entry,
    prompts_digest,
    read_verdict,
    repair_prompt,
    translation_prompt,
)


def test_prompts_say_languages_texts_and_faults():
    asked = translation_prompt("Red [1]", "pt-PT", context="Which colour?")
    assert all(
        part in asked for part in ("inglês", "português europeu", "telemóvel", "Red [1]", "Which colour?", "[1]")
    )
    assert "telemóvel" not in translation_prompt("Red", "fr")
    assert "francês" in translation_prompt("Red", "fr")
    repaired = repair_prompt("Red [1]", "Vermelho", [Fault("tokens", "lost [1]")], "pt-PT")
    assert all(part in repaired for part in ("Red [1]", "Vermelho", "- tokens: lost [1]"))
    assert "$" not in back_prompt("x", "pt-PT") + judge_prompt("x", "y", "pt-PT")
    assert "custa $5" in translation_prompt("custa $5", "pt-PT")


def test_translategemma_takes_one_entry_with_both_languages():
    assert one_entry("Red", "pt-PT") == [
        {"type": "text", "source_lang_code": "en", "target_lang_code": "pt-PT", "text": "Red"}
    ]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("CERTA", ""),
        ("Certa.", ""),
        ("**CERTA**", ""),
        ("ERRADA: falta o não", "falta o não"),
        ("ERRADA\nfalta o não", "falta o não"),
        ("errada", "não diz porquê"),
        ("A tradução está CERTA", None),
        ("CERTAMENTE", None),
        ("", None),
    ],
)
def test_verdicts(answer, verdict):
    assert read_verdict(answer) == verdict


def test_another_wording_is_another_translation():
    assert len(prompts_digest()) == 64
    assert prompts_digest(("judge",)) != prompts_digest(("repair",))
