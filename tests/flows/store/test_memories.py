"""The memory bank as the flows use it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient
from pydantic import SecretStr, ValidationError

from tests.support.server import Server
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.memory import (
    Claim,
    Memory,
    MemoryCreate,
    MemorySource,
    MemoryTag,
    MemoryUpdate,
    Shown,
    gist,
    normalised,
    weight,
)
from wildloop.flows.protocol import tags
from wildloop.flows.settings import Settings
from wildloop.flows.store import artifacts
from wildloop.flows.store.memories import (
    SHOWN,
    SHOWN_CHARACTERS,
    MemoryFilter,
    MemoryStore,
    project_path,
)


@pytest.fixture
async def store(server: Server) -> AsyncIterator[MemoryStore]:
    api = f"http://127.0.0.1:{server.prefect_port}/api"
    settings = Settings(
        home=server.home,
        server_url=server.url,
        token=SecretStr(server.token),
        workdir=server.workdir,
    )
    async with PrefectClient(api, auth_string=f"wildloop:{server.token}") as client:
        yield MemoryStore(client, settings)


def lesson(text: str, tag: str = "lesson") -> tags.Memory:
    return tags.Memory(tag=tag, text=text)


@pytest.mark.server
async def test_a_later_session_finds_a_claim_again_or_contradicts_it(
    store: MemoryStore, tmp_path: Path
) -> None:
    claim = Claim(
        metric="score",
        direction="max",
        program="python t.py",
        ours={"lr": 0.3},
        theirs={"lr": 0.1},
        gain=0.1,
    )

    async def tell(text: str, session: str, claim: Claim | None) -> Memory:
        runs = [f"run-of-{session}"]
        shown = {} if claim is None else {text: Shown(level="confirmed", claim=claim, runs=runs)}
        await store.add([lesson(text)], tmp_path, session, shown)
        (one,) = await store.select(MemoryFilter(project=str(tmp_path)))
        return one

    await tell("lr=0.3 gives 0.8", "s-1", claim)
    smaller = claim.model_copy(update={"gain": 0.08})
    again = await tell("lr=0.3 gives 0.79", "s-2", smaller)
    assert (again.confirmations, again.content) == (1, "lr=0.3 gives 0.8")
    assert again.runs == ["run-of-s-2"]
    # What the session itself has found is not held against it.
    await store.contradict(tmp_path, "s-1", lambda _: "0.7 against 0.7")
    await store.contradict(tmp_path, "s-3", lambda _: None)
    (kept,) = await store.recent(tmp_path)
    assert not kept.is_contradicted
    await store.contradict(tmp_path, "s-4", lambda _: "0.7 against 0.7")
    (gone,) = await store.recent(tmp_path)
    assert "CONTRADICTED since by session s-4: 0.7 against 0.7" in gone.line
    # An agent that repeats what stood in its prompt does not show it again; runs do.
    assert (await tell("lr=0.3 gives 0.8", "s-5", None)).is_contradicted
    assert not (await tell("lr=0.3 gives 0.81", "s-6", claim)).is_contradicted


@pytest.mark.server
async def test_lessons_of_a_reflection_are_kept_once(store: MemoryStore, tmp_path: Path) -> None:
    await store.add([lesson("One."), lesson("one"), lesson("Two", "gotcha")], tmp_path, "s-1")
    await store.add([lesson("TWO."), lesson("Three")], tmp_path, "s-2")
    found = await store.select(MemoryFilter(project=str(tmp_path)))
    kept = [(memory.content, memory.tag.value, memory.session_id) for memory in found]
    assert kept == [("Three", "lesson", "s-2"), ("Two", "gotcha", "s-1"), ("One.", "lesson", "s-1")]
    assert {memory.source for memory in found} == {MemorySource.REFLECTION}
    assert await store.recent(tmp_path / "other") == []


@pytest.mark.server
async def test_only_what_the_account_shows_is_more_than_an_opinion(
    store: MemoryStore, tmp_path: Path
) -> None:
    shown = {"score: lr=0.3 is better": Shown(level="claimed")}
    told = [lesson("score: lr=0.3 is better."), lesson("Width helps"), lesson("Rooms are warm")]
    told.append(lesson("lr=0.9 improves the score", "gotcha"))
    told.append(lesson("train.py wants Python 3.11", "gotcha"))
    await store.add(told, tmp_path, "s", shown)
    opinion = "the agent's opinion, not shown"
    assert {m.content: m.standing for m in await store.recent(tmp_path)} == {
        "score: lr=0.3 is better.": "shown, claimed",
        "Width helps": opinion,
        "Rooms are warm": opinion,
        "lr=0.9 improves the score": opinion,
        "train.py wants Python 3.11": "",
    }


@pytest.mark.server
async def test_prompt_shows_people_first_and_counts_uses(
    store: MemoryStore, tmp_path: Path
) -> None:
    body = MemoryCreate(content="Use bf16.", title="Precision", tag=MemoryTag.PREFERENCE)
    mine, _ = await store.create(body, str(tmp_path))
    await store.add([lesson("Later\nlesson"), lesson("Off")], tmp_path, "s")
    off = next(m for m in await store.recent(tmp_path) if m.content == "Off")
    await store.change(off.id, MemoryUpdate(is_active=False))
    lines = [memory.line for memory in await store.for_prompt(tmp_path)]
    assert lines == [
        "[preference] Precision: Use bf16.",
        "[lesson] Later lesson (the agent's opinion, not shown)",
    ]
    await store.for_prompt(tmp_path)
    uses = {m.content: m.uses for m in await store.select(MemoryFilter(project=str(tmp_path)))}
    assert uses == {"Use bf16.": 2, "Later\nlesson": 2, "Off": 0}
    assert (await store.get(mine.id)).uses == 2
    changed = await store.change(mine.id, MemoryUpdate(title=None))
    assert (changed.uses, changed.title) == (2, None)


@pytest.mark.server
async def test_prompt_stays_short(store: MemoryStore, tmp_path: Path) -> None:
    await store.add([lesson(f"{n} " + "x" * 1000) for n in range(20)], tmp_path, "s")
    shown = await store.recent(tmp_path)
    assert 5 < len(shown) < 20
    assert sum(len(memory.line) for memory in shown) <= SHOWN_CHARACTERS
    assert shown[0].content.startswith("19 ")
    await store.add([lesson(f"short {n}") for n in range(SHOWN + 5)], tmp_path / "b", "s")
    assert len(await store.recent(tmp_path / "b")) == SHOWN
    assert len(await store.recent(tmp_path / "b", limit=3)) == 3


@pytest.mark.server
async def test_a_lesson_that_other_sessions_find_again_comes_first(
    store: MemoryStore, tmp_path: Path
) -> None:
    await store.add([lesson("Dropout above 0.5 hurts")], tmp_path, "s-1")
    await store.add([lesson(f"newer {n}") for n in range(3)], tmp_path, "s-1")
    await store.add([lesson("The dropout above 0.5 hurts.")], tmp_path, "s-1")
    assert (await store.recent(tmp_path))[0].content == "newer 2"
    await store.add([lesson("Dropouts above 0.5 hurt")] * 2, tmp_path, "s-2")
    first = (await store.recent(tmp_path))[0]
    assert (first.content, first.confirmations) == ("Dropout above 0.5 hurts", 1)
    assert len(await store.select(MemoryFilter(project=str(tmp_path)))) == 4


@pytest.mark.server
async def test_record_of_an_earlier_version_is_still_read(
    store: MemoryStore, tmp_path: Path
) -> None:
    id = "0b0c1b7e-0000-4000-8000-0123456789ab"
    old = (
        f'{{"id": "{id}", "tag": "gotcha", "text": "old", "project": "{tmp_path}", '
        '"session_id": "s", "created_at": 12.5}'
    )
    await artifacts.write(store.client, f"memory-{id}", text="old", record=old)
    memory = await store.get(id)
    assert (memory.content, memory.tag, memory.updated_at) == ("old", MemoryTag.GOTCHA, 12.5)
    await store.delete(id)


@pytest.mark.parametrize(
    ("one", "other"),
    [("A b.", "a  B"), ("x\ny", "X y!"), ("Straße", "STRASSE"), ("a,", "a")],
)
def test_texts_that_say_the_same(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("lr 0.1", "lr 01"), ("a b", "ab"), ("not a", "a")])
def test_texts_that_differ(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The learning rate is best at 0.1", "Learning rate best at 0.1."),
        ("Rates above 0.5 diverge", "rate above 0.5 diverges"),
        ("`train.py` ignores --epochs", "train.py ignores --epochs"),
    ],
)
def test_near_duplicates_have_one_gist(one: str, other: str) -> None:
    assert gist(one) == gist(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dropout helps", "Dropout does not help"),
        ("lr 0.1 is best", "lr 0.01 is best"),
        ("adam beats sgd", "sgd beats adam"),
        ("not a", "a"),
        ("the", "a"),
    ],
)
def test_lessons_that_differ_keep_their_gist(one: str, other: str) -> None:
    assert gist(one) != gist(other)


def aged(
    days: float, confirmations: int = 0, uses: int = 0, confirmed: float | None = None
) -> float:
    memory = Memory(
        id="i",
        content="c",
        project="/p",
        created_at=1e9 - 86_400 * days,
        confirmations=confirmations,
        uses=uses,
        confirmed_at=None if confirmed is None else 1e9 - 86_400 * confirmed,
    )
    return weight(memory, 1e9)


def test_weight_falls_with_age_and_rises_with_use() -> None:
    assert aged(0) == 1.0
    assert aged(30) == pytest.approx(0.5)
    assert aged(60, confirmations=3) > aged(30)
    assert aged(300, confirmations=1, confirmed=1) > aged(0)
    assert aged(0) > aged(20, uses=30)
    assert aged(1, uses=30) > aged(1)


@pytest.mark.parametrize("project", ["", "a/b", "./a", "~", "/a\x00"])
def test_project_must_be_absolute(project: str) -> None:
    with pytest.raises(InvalidRequest, match="project"):
        project_path(project)


def test_project_has_one_name() -> None:
    assert project_path("/a//b/../c/") == project_path(Path("/a/c")) == "/a/c"


def test_memory_takes_text_for_content() -> None:
    fields = {"id": "i", "project": "/p", "created_at": 1}
    assert Memory.model_validate(fields | {"text": "t"}).content == "t"
    with pytest.raises(ValidationError, match="content"):
        Memory.model_validate(fields)
