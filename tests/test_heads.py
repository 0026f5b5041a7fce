"""Embedding heads and their ensemble, with numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from wakelark.models.heads import EmbeddingHead, HeadEnsemble


def head(context_steps: int = 10) -> EmbeddingHead:
    return EmbeddingHead(context_steps=context_steps, hidden=32, dropout=0.3).eval()


@pytest.mark.parametrize(("context", "embeddings", "steps"), [(10, 16, 7), (16, 16, 1), (1, 5, 5)])
def test_one_logit_per_window(context: int, embeddings: int, steps: int) -> None:
    assert head(context)(torch.zeros(3, embeddings, 96)).shape == (3, steps)


def test_a_logit_hears_its_window_only() -> None:
    one = head()
    rows = torch.randn(1, 14, 96, requires_grad=True)
    one(rows)[0, 2].backward()
    assert rows.grad is not None
    assert rows.grad.abs().sum((0, 2)).nonzero().flatten().tolist() == list(range(2, 12))


def test_statistics_whiten_the_input() -> None:
    one, plain = head(), head()
    plain.load_state_dict(one.state_dict())
    rows = torch.randn(50, 16, 96) * 7 + 3
    one.set_statistics(rows)
    flat = rows.reshape(-1, 96)
    torch.testing.assert_close(one.mean, flat.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one.deviation, flat.std(0, correction=0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one(rows), plain((rows - one.mean) / one.deviation))
    assert "mean" in one.state_dict()


def test_a_constant_value_does_not_explode() -> None:
    one = head()
    one.set_statistics(torch.ones(20, 96))
    assert torch.isfinite(one(torch.ones(1, 16, 96))).all()


def test_ensemble_averages_calibrated_logits() -> None:
    heads = [head(), head()]
    rows = torch.randn(2, 16, 96)
    ensemble = HeadEnsemble(heads, temperatures=[2.0, 0.5], biases=[1.0, -3.0])
    expected = ((heads[0](rows) / 2 + 1) + (heads[1](rows) / 0.5 - 3)) / 2
    torch.testing.assert_close(ensemble(rows), expected)
    assert ensemble.context_steps == 10


def test_ensemble_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="one context"):
        HeadEnsemble([head(10), head(9)], temperatures=[1, 1], biases=[0, 0])
    with pytest.raises(ValueError, match="one context"):
        HeadEnsemble([], temperatures=[], biases=[])
    with pytest.raises(ValueError, match="2 heads need"):
        HeadEnsemble([head(), head()], temperatures=[1, 0], biases=[0, 0])
    with pytest.raises(ValueError, match="2 heads need"):
        HeadEnsemble([head(), head()], temperatures=[1, 1], biases=[0])
