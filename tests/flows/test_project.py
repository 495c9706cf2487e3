"""wildloop.toml, as projects write it."""

from pathlib import Path

import pytest

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.project import MetricConfig, load_project, missing_references

FULL = """
[project]
name = "digits"
setup = ["uv sync"]
protected = ["eval.py", "data/**"]
[train]
command = "python train.py"
[metric]
name = "val_accuracy"
direction = "max"
[search.lr]
low = 1e-4
high = 1.0
log = true
[search.hidden]
values = [16, 32, 64]
[baseline]
lr = 0.02
[budget]
runs = 14
parallel = 2
[keep]
spare = ["exp"]
[isolation]
link = ["data", "weights.bin"]
"""


def test_a_full_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text("\ufeff" + FULL, encoding="utf-8")
    config = load_project(tmp_path)
    assert config is not None
    assert config.project.name == "digits"
    assert config.project.setup == ["uv sync"]
    assert config.project.protected == ["eval.py", "data/**"]
    assert config.keep.spare == ["exp"]
    assert config.isolation.link == ["data", "weights.bin"]
    assert config.metric == MetricConfig(name="val_accuracy", direction="max")
    assert config.budget.runs == 14
    assert config.search["lr"]["log"] is True
    assert config.baseline == {"lr": 0.02}


def test_a_project_without_the_file_has_no_config(tmp_path: Path) -> None:
    assert load_project(tmp_path) is None


def test_an_empty_file_means_defaults(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text("")
    config = load_project(tmp_path)
    assert config is not None
    assert (config.metric, config.project.protected, config.budget.runs) == (None, [], None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[metric]\nname = \n", "line 2"),
        ("[metric]\ndirection = 'max'", "[metric] name is missing"),
        ("[metric]\nname = ' '", "[metric] name: must not be blank"),
        ("[metric]\nname = 'a'\ndirection = 'up'", "[metric] direction: Input should be 'max'"),
        ("[metric]\nname = 'a'\nnmae = 'b'", "[metric] nmae is no known key: use one of name"),
        ("[project]\nsetup = 'uv sync'", "[project] setup: Input should be a valid list"),
        ("[project]\nsetup = ['']", "[project] setup.0: must not be blank"),
        ("[project]\nprotected = ['/etc']", "[project] protected.0: must be a path or pattern"),
        ("[project]\nprotected = ['../x']", "[project] protected.0: must be a path or pattern"),
        ("protected = ['/etc']", "[protected] 0: must be a path"),
        ("[budget]\nruns = 0", "[budget] runs: "),
        ("[budget]\nruns = true", "[budget] runs: "),
        ("[metrics]\nname = 'a'", "[metrics] is no known table: use one of project, metric"),
        ("name = 'a'", "[name] is no known table"),
        ("train = 5", "[train]: Input should be a valid dictionary"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_broken_file_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "wildloop.toml").write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        load_project(tmp_path)
    assert said in str(caught.value)
    assert str(tmp_path / "wildloop.toml") in str(caught.value)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text("[metric]\ndirection = 'up'\n[other]\n")
    with pytest.raises(InvalidRequest, match=r"name is missing.*direction.*\[other\]"):
        load_project(tmp_path)


def test_a_file_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(InvalidRequest, match="save it as UTF-8"):
        load_project(tmp_path)


def test_a_folder_of_that_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").mkdir()
    with pytest.raises(InvalidRequest, match="cannot be read"):
        load_project(tmp_path)


def test_protected_files_may_stand_above_the_tables(tmp_path: Path) -> None:
    text = 'protected = ["eval.py"]\n[project]\nprotected = ["eval.py", "data/**"]\n'
    (tmp_path / "wildloop.toml").write_text(text)
    config = load_project(tmp_path)
    assert config is not None
    assert config.protected_patterns == ["eval.py", "data/**"]


def test_references_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text(
        "[references]\npapers = ['a.pdf', 'papers']\nnotes = ['~/none.md']\n"
        "[references.urls]\n'https://e.org' = 'saved.html'\n"
    )
    (tmp_path / "papers").mkdir()
    config = load_project(tmp_path)
    assert config is not None
    said = missing_references(config, tmp_path)
    assert said is not None
    assert said.startswith(
        "[references] names what is not there: 'a.pdf', '~/none.md', 'saved.html'"
    )
    for name in ("a.pdf", "saved.html"):
        (tmp_path / name).touch()
    (tmp_path / "none.md").touch()
    here = config.model_copy(deep=True)
    here.references.notes = [str(tmp_path / "none.md")]
    assert missing_references(here, tmp_path) is None
