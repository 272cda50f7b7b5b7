"""How many rows each part of the model is given."""

import pytest

from helpers.models import small_model


def count_rows(module, rows):
    return module.register_forward_hook(lambda module, args, output: rows.append(len(args[0])))


@pytest.fixture
def counted():
    """Run one visual path and return the rows of each call, per part."""

    def run(batch, **guidance):
        model = small_model(**guidance)
        layers = model.Qformer.bert.encoder.layer
        calls = {"vision": [], **{number: [] for number in range(1, len(layers) + 1)}}
        count_rows(model.visual_encoder, calls["vision"])
        for number, layer in enumerate(layers, start=1):
            count_rows(layer, calls[number])
        model.encode(batch, batch["text_input"])
        return calls

    return run
