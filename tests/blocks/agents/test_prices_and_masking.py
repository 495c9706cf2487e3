"""Costs by list price; secrets out of stored files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wildloop.blocks.agents import jsonl
from wildloop.blocks.agents.masking import mask, mask_file, secret_values
from wildloop.blocks.agents.prices import PRICES, Price, Usage, estimate_cost, price_of

SECRET = "tok-0123456789"


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-5.5", "gpt-5.5"),
        ("GPT-5.5", "gpt-5.5"),
        ("openai/gpt-5.4-mini-2026-03-01", "gpt-5.4-mini"),
        ("gpt-5.1-codex-max", "gpt-5.1"),
        ("claude-opus-4-8[1m]", "claude-opus-4-8"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4"),
        ("gpt-5.5-pro", None),
        ("gpt-50", None),
        ("stub", None),
        ("", None),
        (None, None),
    ],
)
def test_price_of_a_model(model: str | None, known: str | None) -> None:
    assert price_of(model) == (PRICES[known] if known else None)


def test_cost_counts_each_kind_of_token_at_its_price() -> None:
    price = Price(input=1, output=10, cache_read=0.1, cache_write=2)
    million = 1_000_000
    usage = Usage(input=million, output=million, cache_read=million, cache_write=million)
    assert estimate_cost(usage, price) == pytest.approx(13.1)
    cheap = price.model_copy(update={"cache_write": None})
    assert estimate_cost(usage, cheap) == pytest.approx(12.1)


def test_negative_price_is_refused() -> None:
    with pytest.raises(ValidationError, match="input"):
        Price(input=-1, output=1, cache_read=1)


def test_secrets_are_told_by_the_names_of_variables() -> None:
    variables = {
        "WILDLOOP_AUTH_TOKEN": SECRET,
        "MY_API_KEY": SECRET + "x",
        "PATH": "/usr/bin:/bin",
        "SHORT_TOKEN": "1",
    }
    assert secret_values(variables) == [SECRET + "x", SECRET]
    assert mask(f"a {SECRET}x b", secret_values(variables)) == "a *************** b"


@given(
    parts=st.lists(st.sampled_from([SECRET, SECRET[:5], "tok-", "ü", "\n", "x" * 9]), max_size=30),
    chunk=st.integers(1, 40),
)
def test_masked_file_holds_no_secret_and_all_the_rest(
    parts: list[str], chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("masking") / "events.jsonl"
    path.write_text("".join(parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK_BYTES", chunk)
        mask_file(path, [SECRET])
    assert path.read_text() == "".join(parts).replace(SECRET, "*" * len(SECRET))


def test_masking_a_missing_file_does_nothing(tmp_path: Path) -> None:
    mask_file(tmp_path / "gone", [SECRET])
    assert list(tmp_path.iterdir()) == []
