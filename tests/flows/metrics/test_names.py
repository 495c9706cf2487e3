"""Names of metrics as people mean them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.metrics.names import match


@pytest.mark.parametrize(
    ("wanted", "seen", "found"),
    [
        ("val_accuracy", ["val_acc", "loss"], "val_acc"),
        ("val_acc", ["val/accuracy", "train/accuracy"], "val/accuracy"),
        ("val_acc", ["validation_accuracy"], "validation_accuracy"),
        ("val_accuracy", ["train_accuracy", "eval_accuracy"], "eval_accuracy"),
        ("Validation accuracy", ["valAcc"], "valAcc"),
        ("accuracy", ["Accuracy", "val_accuracy"], "Accuracy"),
        ("accuracy", ["train_acc", "val_acc"], "val_acc"),
        ("test_accuracy", ["final_test_accuracy", "val_acc"], "final_test_accuracy"),
        ("val_acc", ["best_val_acc", "val_acc"], "val_acc"),
        ("val_acc", ["best_val_acc"], "best_val_acc"),
        ("mAP50-95", ["metrics/mAP50-95(B)", "metrics/mAP50(B)"], "metrics/mAP50-95(B)"),
        ("top1", ["Acc@1", "Acc@5"], "Acc@1"),
        ("val_perplexity", ["val/ppl", "train/ppl"], "val/ppl"),
        ("test_auroc", ["test AUC"], "test AUC"),
        ("val_loss", ["loss", "train_loss"], None),
        ("val_acc", ["test_acc"], None),
        ("val_accuracy", ["accuracy", "val_loss"], None),
        ("accuracy", ["train_acc"], None),
        ("accuracy", ["val_accuracy", "test_accuracy"], None),
        ("val_acc", ["val_accuracy", "eval_accuracy"], None),
        ("val_loss", ["val_acc"], None),
        ("val_acc", ["val_acc_top5"], None),
        ("f1", [], None),
    ],
)
def test_what_is_taken_for_a_wanted_name(wanted: str, seen: list[str], found: str | None) -> None:
    assert match(wanted, seen).found == found


def test_names_that_might_be_meant_are_told() -> None:
    assert match("accuracy", ["val_accuracy", "test_accuracy"]).others == (
        "val_accuracy",
        "test_accuracy",
    )
    assert match("val_accuracy", ["accuracy", "val_loss"]).others == ("accuracy",)


PARTS = st.sampled_from(["acc", "accuracy", "loss", "f1", "ppl"])
TRAIN = st.sampled_from(["train_", "train/", "Training "])
OTHER = st.sampled_from(["val_", "val/", "Validation ", "eval_", "test_", "dev/"])


@given(PARTS, TRAIN, OTHER)
def test_train_is_never_taken_for_validation_nor_the_other_way_round(
    part: str, train: str, other: str
) -> None:
    assert match(other + part, [train + part, train + "loss"]).found is None
    assert match(train + part, [other + part]).found is None


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=5))
def test_no_name_raises(wanted: str, seen: list[str]) -> None:
    found = match(wanted, seen).found
    assert found is None or found in seen
