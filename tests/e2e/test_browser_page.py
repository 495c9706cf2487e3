"""A night on the page, in Chromium: by mouse on a desk, by keyboard on a phone's width."""

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from tests.support.browser import Watched, chromium
from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.script import Script, planned
from tests.support.server import Server
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = [pytest.mark.browser, pytest.mark.e2e]
CHILDREN = ("wildloop.shim.main", "wildloop.flows.worker.main", "wildloop.shim.prefect_server")
EVIL = "<img src=x onerror=window.__evil=1><script>window.__evil=1</script>"
MEASURES = (
    """for step in 1 2 3; do echo '{"step": '$step', "score": 0.'$step'SEED}' """
    """>> $WILDLOOP_RUN_DIR/metrics.jsonl; done; echo 'EVIL'""".replace("EVIL", EVIL)
)


def sees(found: "Locator", text: str | re.Pattern[str]) -> None:
    """The page shows the text there, sooner or later."""
    from playwright.sync_api import expect

    expect(found).to_contain_text(text, timeout=1000 * patient(60))


def gone(found: "Locator") -> None:
    """The page has it no more, sooner or later."""
    from playwright.sync_api import expect

    expect(found).to_have_count(0, timeout=1000 * patient(60))


def scripted(folder: Path) -> Script:
    """An agent that plans, says evil things, and works until it is let go."""
    script = Script(folder)
    script.reply(1, planned().replace("planned", f"planned {EVIL}").replace("None.", EVIL))
    work = f'echo "looking at {folder.name}"; while [ ! -e "{folder}/go" ]; do sleep 0.2; done'
    for number in range(2, 9):
        script.shell(number, f"{work}\necho '<summary>looked {EVIL}</summary>'\n")
    return script


def started(seen: Watched, project: Path, script: Script, *, is_cautious: bool = False) -> str:
    """Start a session by the page's form; its id."""
    page = seen.page
    seen.press(page.get_by_text("Start a session"))
    seen.write(page.get_by_label("Goal"), f"Raise the score {EVIL}")
    page.get_by_label("Project's folder").fill(str(project))
    page.get_by_label("Agent", exact=True).fill(script.agent)
    if is_cautious:
        seen.press(page.get_by_label("Show me the plan"))
    seen.press(page.get_by_role("button", name="Start", exact=True))
    page.wait_for_url("**/page/sessions/*")
    return page.url.rsplit("/", 1)[1]


def measured(seen: Watched, session_id: str, project: Path) -> list[dict[str, Any]]:
    """Two runs of a session, ended."""
    made = [
        seen.server.run(
            MEASURES.replace("SEED", str(seed)),
            name=f"run {seed} {EVIL}",
            workdir=str(project),
            chat_session_id=session_id,
            parameters={"lr": 0.1 * seed, "text": EVIL},
            gpus=0,
        )
        for seed in (1, 2)
    ]
    return [seen.server.ended(run["id"]) for run in made]


def alert_is_answered(seen: Watched, run: dict[str, Any]) -> None:
    body = {"message": f"Go on? {EVIL}", "choices": ["continue", "enough"]}
    alert = seen.server.post(f"/runs/{run['id']}/alerts", body)
    shown = seen.page.locator(f"#alert-{alert['id']}")
    sees(shown, "Go on?")
    seen.check()
    if seen.by_keyboard:
        seen.page.keyboard.press("a")
    seen.press(shown.get_by_role("button", name="enough"))
    gone(shown)
    assert seen.server.get(f"/alerts/{alert['id']}")["choice"] == "enough"


def steer_pause_and_resume(seen: Watched, session_id: str) -> None:
    page, server = seen.page, seen.server
    seen.write(page.locator(f"#steer-{session_id}"), f"Try a smaller step {EVIL}")
    seen.press(page.get_by_role("button", name="Tell it").first)
    sees(page.locator("#notice"), "Told")
    told = [one["detail"] for one in server.get(f"/wild/v2/events/{session_id}")]
    assert any("Try a smaller step" in text for text in told) or told == []
    seen.press(page.locator(f"#pause-{session_id}"))
    page.locator(f"#resume-{session_id}").wait_for()
    assert server.session(session_id)["status"] == "paused"
    seen.press(page.locator(f"#resume-{session_id}"))
    page.locator(f"#pause-{session_id}").wait_for()


def runs_are_plotted(seen: Watched, session_id: str) -> None:
    page = seen.page
    seen.go(f"/page/runs?session={session_id}")
    seen.press(page.get_by_role("link", name="Plot all of the filter"))
    picture = page.locator("svg.parallel")
    picture.wait_for()
    sees(page.locator("#plots"), "2 of 2 runs have finished with score")
    assert picture.locator("text.name").all_text_contents()[-1].startswith("score")
    seen.check()
    seen.tab_to(picture) if seen.by_keyboard else picture.focus()
    page.keyboard.press("ArrowRight")
    sees(page.locator("#parallel-walked"), "run 2 <img src=x")
    page.locator("#better").select_option("min")
    page.wait_for_url("**better=min**")
    dots = page.locator("svg.scatter").first
    seen.tab_to(dots) if seen.by_keyboard else dots.focus()
    page.keyboard.press("ArrowRight")
    sees(page.locator("#walked-1"), "run 1 <img src=x")
    seen.check()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/page/runs/[0-9a-f-]{36}$"))


def runs_are_compared(seen: Watched, session_id: str) -> None:
    page = seen.page
    seen.go(f"/page/runs?session={session_id}")
    boxes = page.locator("table.runs input[type=checkbox]")
    seen.check()
    for place in (0, 1):
        seen.press(boxes.nth(place))
    seen.press(page.get_by_role("button", name="Compare chosen"))
    sees(page.locator("#curve-said"), "ends at")
    page.locator("#curve-chart canvas").wait_for()
    page.locator("#scatter-chart canvas").wait_for()
    sees(page.locator("table.pair"), "parameters: lr")
    sees(page.locator("pre.log").first, "<img src=x")
    page.locator("#curve-log").check()
    page.locator("#curve-x").select_option("times")
    seen.check()


def report_is_read(seen: Watched, session_id: str) -> None:
    page = seen.page
    seen.go(f"/page/sessions/{session_id}")
    sees(page.locator("#part-timeline"), "planned")
    if page.locator(f"#stop-all-{session_id}").count():
        seen.press(page.locator(f"#stop-all-{session_id}"))
    sees(page.locator(".state").first, "stopped")
    for name in ("plan-text", "said-planning", "d-evidence", "d-ledger", "d-tree", "d-report-text"):
        seen.press(page.locator(f"#{name} > summary"))
    sees(page.locator("#part-report-text"), "Research report")
    sees(page.locator("#said-planning"), "Prompt")
    sees(page.locator("#part-evidence"), "claimed")
    seen.check()
    seen.go(f"/page/sessions/{session_id}/report")
    sees(page.locator("body"), "Research report")


@pytest.mark.parametrize(("width", "by_keyboard"), [(1400, False), (390, True)])
def test_a_night_on_the_page(server: Server, tmp_path: Path, width: int, by_keyboard: bool) -> None:
    project, script = make_project(tmp_path / "project"), scripted(tmp_path / "script")
    scheme = "dark" if by_keyboard else "light"
    with chromium(server, width, by_keyboard=by_keyboard, scheme=scheme) as seen:
        session_id = started(seen, project, script)
        page = seen.page
        sees(page.locator("#part-timeline"), "planned")
        sees(page.locator(".activity"), "looking at script")
        runs = measured(seen, session_id, project)
        sees(page.locator(".counts"), "2 finished")
        seen.check()
        seen.go("/page/")
        alert_is_answered(seen, runs[0])
        steer_pause_and_resume(seen, session_id)
        runs_are_compared(seen, session_id)
        runs_are_plotted(seen, session_id)
        seen.go("/page/compute")
        sees(page.locator("main"), "slots are held")
        sees(page.locator("#use"), "memory:")
        seen.check()
        report_is_read(seen, session_id)
        (script.folder / "go").touch()


@pytest.mark.parametrize(("width", "by_keyboard"), [(1400, False), (390, True)])
def test_a_plan_is_rejected_and_approved_on_the_page(
    server: Server, tmp_path: Path, width: int, by_keyboard: bool
) -> None:
    # The script lies in /tmp, of which a sandbox has one of its own.
    project = make_project(tmp_path / "project", "[agent]\nsandbox = false\n")
    script = Script(tmp_path / "script").default("<summary>looked</summary>")
    for number in (1, 2):
        script.reply(number, planned().replace("planned", f"plan {number} {EVIL}"))
    with chromium(server, width, by_keyboard=by_keyboard) as seen:
        session_id = started(seen, project, script, is_cautious=True)
        # Sessions and runs of other tests may have alerts of their own.
        asked = seen.page.locator("article.alert", has_text="Is this plan right?")
        sees(asked, "Is this plan right? plan 1 <img src=x")
        seen.check()
        seen.write(asked.get_by_label("What you have to say"), f"Seeds first {EVIL}")
        seen.press(asked.get_by_role("button", name="reject"))
        sees(asked, "plan 2 <img src=x")
        assert f"Seeds first {EVIL}" in script.prompt(2)
        seen.go("/page/")
        sees(asked, "plan 2 <img src=x")
        seen.check()
        seen.press(asked.get_by_role("button", name="approve"))
        gone(asked)
        server.wait_for(lambda: script.calls() > 2, "the plan is carried out")
        seen.go(f"/page/sessions/{session_id}")
        seen.write(seen.page.get_by_label("What do you want to know"), f"Why? {EVIL}")
        seen.press(seen.page.get_by_role("button", name="Ask", exact=True))
        sees(seen.page.locator("#part-answers"), "<img src=x")
        sees(seen.page.locator("#part-answers .prose"), "looked")
        seen.check()
        server.http.post("/wild/v2/stop", json={"session_id": session_id})
        server.session_ended(session_id)


def is_again(server: Server, module: str, before: int) -> bool:
    try:
        return server.child(module).pid != before
    except psutil.NoSuchProcess:
        # The one that was killed is being taken away.
        return False


def is_ready(server: Server) -> bool:
    try:
        return server.http.get("/ready").is_success
    except httpx.TransportError:
        return False


def test_a_page_left_open_over_restarts_shows_the_truth(
    rough_server: Server, tmp_path: Path
) -> None:
    server, page_file = rough_server, tmp_path / "go"
    command = f"while [ ! -e '{page_file}' ]; do sleep 0.2; done"
    with chromium(server, 1400) as seen:
        seen.go("/page/compute")
        run = server.run(command, name="a long one", gpus=1)
        sees(seen.page.locator("main"), "a long one")
        for module in CHILDREN:
            before = server.child(module)
            before.kill()
            wait_for(partial(is_again, server, module, before.pid), f"{module} is again")
        wait_for(partial(is_ready, server), "the server takes runs again", sign=server.pulse)
        page_file.touch()
        server.ended(run["id"], 120)
        another = server.run("true", name="another one")
        server.ended(another["id"], 120)
        sees(seen.page.locator("main"), "Nothing runs.")
        assert seen.page.locator("#connection").is_hidden()
        seen.go("/page/runs")
        sees(seen.page.locator("table.runs"), "another one")
