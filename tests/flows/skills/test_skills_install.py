"""Installing skills from real git repositories and folders."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.support.project import git, make_project
from wildloop.flows.errors import Conflict, InvalidRequest, NotAllowed, Unavailable
from wildloop.flows.models.skill import MAX_FILE_BYTES, MAX_FILES, SkillInstall
from wildloop.flows.prompt.sections import PromptContext
from wildloop.flows.skills import SkillEditor, SkillInstaller, SkillLibrary, shipped_skills_path
from wildloop.flows.skills.install import check_url, find_skills

GOOD = "---\ndescription: d\n---\nHello {{ goal }}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".wild" / "skills"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A git repository with two skills, one with an executable beside it."""
    folder = make_project(tmp_path / "skill source ü")
    add(folder / "skills" / "one", GOOD)
    add(folder / "skills" / "two", GOOD)
    tool = folder / "skills" / "two" / "bin" / "tool.sh"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    commit(folder)
    return folder


def add(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_text(text, encoding="utf-8")


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "skills")
    return git(folder, "rev-parse", "HEAD").strip()


def installer(root: Path, *, allowed: bool = True, **bounds: float) -> SkillInstaller:
    library = SkillLibrary(shipped_skills_path(), root)
    editor = SkillEditor(library, root, PromptContext.model_fields)
    limit = int(bounds.get("limit_bytes", 1_000_000))
    seconds = bounds.get("timeout_seconds", 60.0)
    return SkillInstaller(editor, allowed=allowed, limit_bytes=limit, timeout_seconds=seconds)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


async def test_repository_is_installed_with_its_files(root: Path, source: Path) -> None:
    head = git(source, "rev-parse", "HEAD").strip()
    done = await installer(root).install(SkillInstall(source=source.as_uri()))
    assert done.commit == head
    assert [(skill.id, skill.source) for skill in done.installed] == [
        ("one", "project"),
        ("two", "project"),
    ]
    assert names(root) == ["one", "two"]
    assert os.access(root / "two" / "bin" / "tool.sh", os.X_OK)
    assert not os.access(root / "two" / "SKILL.md", os.X_OK)


async def test_one_skill_of_a_tag_is_installed(root: Path, source: Path) -> None:
    git(source, "tag", "v1")
    add(source / "skills" / "one", GOOD + " newer")
    commit(source)
    body = SkillInstall(source=source.as_uri(), ref="v1", ids=["one"])
    await installer(root).install(body)
    assert names(root) == ["one"]
    assert (root / "one" / "SKILL.md").read_text() == GOOD


async def test_folder_that_is_a_skill_is_installed_by_its_name(root: Path, tmp_path: Path) -> None:
    add(tmp_path / "lonely", GOOD)
    (tmp_path / "lonely" / ".hidden").write_text("stays behind")
    done = await installer(root).install(SkillInstall(source=str(tmp_path / "lonely")))
    assert (done.commit, [skill.id for skill in done.installed]) == (None, ["lonely"])
    assert names(root / "lonely") == ["SKILL.md"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no front matter", "front matter"),
        ("---\ndescription: d\n---\n{% if %}", "line 4"),
        ("---\nname: n\n---\n", "description"),
    ],
)
async def test_one_broken_skill_keeps_all_out(
    root: Path, source: Path, text: str, said: str
) -> None:
    add(source / "skills" / "zzz", text)
    commit(source)
    for given in (source.as_uri(), str(source)):
        with pytest.raises(InvalidRequest, match=f"zzz.*{said}"):
            await installer(root).install(SkillInstall(source=given))
    assert names(root) == []


async def test_existing_and_shipped_ids_need_replace(root: Path, source: Path) -> None:
    add(source / "skills" / "wild_v2_steer", GOOD)
    add(root / "one", "---\ndescription: mine\n---\n")
    (root / "one" / "old.md").write_text("old")
    for ids in (["one", "two"], ["wild_v2_steer"]):
        with pytest.raises(Conflict, match="replace: true"):
            await installer(root).install(SkillInstall(source=str(source), ids=ids))
    assert names(root) == ["one"]
    await installer(root).install(SkillInstall(source=str(source), replace=True))
    assert names(root) == ["one", "two", "wild_v2_steer"]
    assert names(root / "one") == ["SKILL.md"]
    assert (root / "one" / "SKILL.md").read_text() == GOOD


async def test_shadowing_skill_may_use_only_what_the_loop_gives(root: Path, source: Path) -> None:
    add(source / "skills" / "wild_v2_steer", GOOD + "{{ other }}")
    with pytest.raises(InvalidRequest, match="does not give other"):
        await installer(root).install(SkillInstall(source=str(source), replace=True))
    assert names(root) == []


async def test_failure_in_the_middle_takes_back_what_was_done(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(root / "one", "---\ndescription: mine\n---\nmine")
    rename = Path.rename

    def refuse_two(self: Path, target: Path) -> Path:
        if Path(target) == root / "two":
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_two)
    with pytest.raises(Unavailable, match=r"two.*Permission denied"):
        await installer(root).install(SkillInstall(source=str(source), replace=True))
    assert names(root) == ["one"]
    assert (root / "one" / "SKILL.md").read_text().endswith("mine")


async def test_no_hook_filter_or_submodule_runs(
    root: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    template = tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    hook = template / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch '{trap}'\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text(
        f"[core]\n\thooksPath = {template / 'hooks'}\n[init]\n\ttemplateDir = {template}\n"
        "[submodule]\n\trecurse = true\n[safe]\n\tdirectory = *\n"
    )
    other = make_project(tmp_path / "other")
    git(source, "-c", "protocol.file.allow=always", "submodule", "add", str(other), "sub")
    commit(source)
    trap.unlink(missing_ok=True)
    await installer(root).install(SkillInstall(source=source.as_uri()))
    assert names(root) == ["one", "two"]
    assert not trap.exists()


async def test_links_in_a_source_are_refused(root: Path, source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (source / "skills" / "two" / "link").symlink_to(tmp_path / "secret")
    commit(source)
    for given in (source.as_uri(), str(source)):
        with pytest.raises(InvalidRequest, match="'link' is a link"):
            await installer(root).install(SkillInstall(source=given))
    (source / "skills" / "two" / "link").unlink()
    (source / "skills" / "three").mkdir()
    (source / "skills" / "three" / "SKILL.md").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidRequest, match="link"):
        await installer(root).install(SkillInstall(source=str(source)))
    assert names(root) == []


async def test_sources_are_bounded(root: Path, source: Path) -> None:
    big = source / "skills" / "two" / "big"
    big.write_bytes(os.urandom(MAX_FILE_BYTES + 1))
    with pytest.raises(InvalidRequest, match=f"larger than {MAX_FILE_BYTES}"):
        await installer(root).install(SkillInstall(source=str(source)))
    commit(source)
    with pytest.raises(InvalidRequest, match="larger than 300000 bytes"):
        await installer(root, limit_bytes=300_000).install(SkillInstall(source=source.as_uri()))
    big.unlink()
    for number in range(MAX_FILES):
        (source / "skills" / "two" / f"{number}.md").write_text("x")
    with pytest.raises(InvalidRequest, match=f"more than {MAX_FILES}"):
        await installer(root).install(SkillInstall(source=str(source)))
    assert names(root) == []


async def test_clone_that_never_ends_is_ended(root: Path) -> None:
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        with pytest.raises(InvalidRequest, match=r"within 0\.5 s"):
            await installer(root, timeout_seconds=0.5).install(
                SkillInstall(source=f"https://127.0.0.1:{port}/skills.git")
            )
    assert names(root) == []


async def test_repository_that_is_not_there_is_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="could not be cloned"):
        await installer(root).install(SkillInstall(source=(tmp_path / "none").as_uri()))
    with pytest.raises(InvalidRequest, match="is no folder"):
        await installer(root).install(SkillInstall(source=str(tmp_path / "none")))
    with pytest.raises(InvalidRequest, match="has no skill"):
        await installer(root).install(SkillInstall(source=str(tmp_path)))


@pytest.mark.parametrize(
    "url",
    [
        "http://host/x.git",
        "git://host/x",
        "ext::sh -c touch% /tmp/x",
        "https::ext://host/x",
        "git@host:team/x.git",
        "--upload-pack=touch /tmp/x",
        "relative/folder",
        "https://user:secret@host/x.git",
        "https://token@host/x.git",
        "ssh://git:secret@host/x.git",
        "ssh://-oProxyCommand=x/y",
        "https://",
        "https://host",
        "file://host/x",
        "https://[broken/x",
        "file:///",
    ],
)
async def test_other_urls_are_refused_without_repeating_a_secret(root: Path, url: str) -> None:
    with pytest.raises(InvalidRequest, match="source") as refusal:
        await installer(root).install(SkillInstall(source=url))
    assert "secret@" not in str(refusal.value)
    assert "token@" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/team/skills.git", "skills"),
        ("ssh://git@host:22/team/skills/", "skills"),
        ("file:///srv/skills", "skills"),
    ],
)
def test_url_names_the_skill(url: str, name: str) -> None:
    assert check_url(url) == name


@pytest.mark.parametrize("ref", ["--upload-pack=x", "a..b", "a b", "-x", "a\x7f"])
async def test_odd_ref_is_refused(root: Path, source: Path, ref: str) -> None:
    with (
        pytest.raises(ValueError, match="ref")
        if "\x7f" in ref
        else pytest.raises(InvalidRequest, match="ref")
    ):
        await installer(root).install(SkillInstall(source=source.as_uri(), ref=ref))


async def test_unknown_ids_and_refs_are_named(root: Path, source: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no skill 'three', but one, two"):
        await installer(root).install(SkillInstall(source=str(source), ids=["three"]))
    with pytest.raises(InvalidRequest, match="could not be cloned"):
        await installer(root).install(SkillInstall(source=source.as_uri(), ref="none"))
    with pytest.raises(InvalidRequest, match="only a git URL"):
        await installer(root).install(SkillInstall(source=str(source), ref="main"))


async def test_it_is_off_by_default(root: Path, source: Path) -> None:
    with pytest.raises(NotAllowed, match="WILDLOOP_ALLOW_SKILL_INSTALL=1"):
        await installer(root, allowed=False).install(SkillInstall(source=str(source)))


def test_skills_are_found_to_a_depth_and_never_inside_another(tmp_path: Path) -> None:
    add(tmp_path / "a" / "one", GOOD)
    add(tmp_path / "a" / "one" / "inner", GOOD)
    add(tmp_path / ".git" / "hidden", GOOD)
    add(tmp_path / "1" / "2" / "3" / "4" / "deep", GOOD)
    assert [id for id, _ in find_skills(tmp_path, "x")] == ["one"]
    add(tmp_path / "b" / "one", GOOD)
    with pytest.raises(InvalidRequest, match="two skills 'one'"):
        find_skills(tmp_path, "x")
    add(tmp_path, GOOD)
    assert [id for id, _ in find_skills(tmp_path, "x")] == ["x"]


async def test_odd_folder_name_is_refused(root: Path, tmp_path: Path) -> None:
    add(tmp_path / "s" / "über", GOOD)
    with pytest.raises(InvalidRequest, match="no skill id"):
        await installer(root).install(SkillInstall(source=str(tmp_path / "s")))
