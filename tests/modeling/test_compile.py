"""Compiled and exported, the model computes the same and refuses the same."""

import pytest
import torch
from transformers.exporters.exporter_dynamo import DynamoConfig, DynamoExporter

from tests.modeling.batches import MIXED, Batch
from tests.tiny import IMAGE_TOKEN_ID, tiny_model

BATCH = Batch(MIXED, [6, 9, 3])
COMPILERS = [
    pytest.param({"backend": "eager"}, id="eager"),
    pytest.param({"backend": "aot_eager", "fullgraph": True}, id="aot, one graph"),
    pytest.param({"backend": "inductor"}, id="inductor", marks=pytest.mark.slow),  # two minutes of C++
]
LOST = {
    "lost images": ({"input_ids": BATCH.input_ids, "attention_mask": BATCH.attention_mask}, "but no images"),
    "a lost slot": ({**BATCH.ours, "input_ids": BATCH.input_ids.clone()}, "visual tokens.*truncated"),
}
row, column = (BATCH.input_ids == IMAGE_TOKEN_ID).nonzero()[0]
LOST["a lost slot"][0]["input_ids"][row, column] = 9


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()


@pytest.mark.parametrize("case", LOST)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_lost_images_are_an_error_when_compiled(compiler, case):
    inputs, message = LOST[case]
    options = dict(compiler)
    if case == "a lost slot":
        options["fullgraph"] = False  # layouts are read on the host
    model = tiny_model()
    compiled = torch.compile(model, **options)
    with torch.no_grad():
        with pytest.raises(ValueError, match=message):
            model(**inputs)
        with pytest.raises(ValueError, match=message):
            compiled(**inputs)


@pytest.mark.parametrize("batch", [BATCH, Batch([[], []], [5, 9])], ids=["images", "text only"])
def test_a_compiled_forward_computes_the_same(batch):
    model = tiny_model()
    with torch.no_grad():
        expected = model(**batch.ours).logits
        actual = torch.compile(model, backend="aot_eager")(**batch.ours).logits
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch", [BATCH, Batch([[], []], [5, 9])], ids=["images", "text only"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_an_exported_graph_computes_the_same(batch, dynamic):
    model, inputs = tiny_model(), dict(batch.ours)
    with torch.no_grad():
        expected = model(**batch.ours).logits
        exported = DynamoExporter().export(model, inputs, config=DynamoConfig(dynamic=dynamic))
        graph = exported.module() if isinstance(exported, torch.export.ExportedProgram) else exported  # up to 5.19
        actual = graph(**inputs).logits
    assert torch.equal(actual, expected)
