import pytest

from amalia_vl_hf.data.brazilian import BRAZILIAN, refuse_brazilian
from amalia_vl_hf.data.dataset import RejectedError


def test_brazilian_dialogues_are_refused_and_other_languages_are_not_judged():
    brazilian = "O ônibus está chegando ao ponto e as pessoas estão entrando."
    row = {
        "language": "pt",
        "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": brazilian}],
    }
    with pytest.raises(RejectedError, match=f"{BRAZILIAN}: pt-BR"):
        refuse_brazilian(row)
    refuse_brazilian({**row, "language": "en"})
