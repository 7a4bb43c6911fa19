import pytest

from amalia_vl_hf.conversion.rules import (
    TensorRule,
    plan_tensors,
    rename,
    require_complete,
)
from amalia_vl_hf.conversion.shards import filled

TENSOR = filled(0.0, (1,), "F32")


def source(*names):
    return dict.fromkeys(names, TENSOR)


def test_tensors_are_renamed_or_dropped_for_a_reason():
    rules = (TensorRule(r"old\.(.+)", r"new.\1"), TensorRule("gone", None, "not needed"))
    assert plan_tensors(rules, source("old.x", "gone")) == ({"new.x": "old.x"}, {"gone": "not needed"})
    assert rename(rules, "old.y") == "new.y"


def test_a_tensor_that_two_rules_match_is_refused():
    with pytest.raises(ValueError, match=r"ab \(2 rules\): a tensor must match exactly one rule"):
        plan_tensors((TensorRule("a.", "x"), TensorRule(".b", "y")), source("ab"))


def test_errors_name_a_few_tensors_and_count_the_rest():
    names = [f"t{number}" for number in range(8)]
    with pytest.raises(ValueError, match=r"t0 \(0 rules\), .*t4 \(0 rules\) and 3 more: "):
        plan_tensors((), source(*names))
    with pytest.raises(ValueError, match="the source does not give t0, t1, t2, t3, t4 and 3 more;"):
        require_complete({}, dict.fromkeys(names, (1,)))
