"""The report's page in a browser: drawn, searched, filtered, paged, printed, without error and without the network."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, expect
from sqlalchemy import Engine

from fm_migration.report.classes import FindingClass as Kind
from fm_migration.report.files import publish
from fm_migration.settings import load_settings
from fm_migration_tests.browser.conftest import PHONE, Watched
from fm_migration_tests.report.made_up import Reports
from fm_migration_tests.report.nights import ACCEPTED, GONE, NEW, OPEN, some_weeks

pytestmark = pytest.mark.browser

Open = Callable[..., Watched]
TOTAL = sum(OPEN.values())


@pytest.fixture
def reports(engine: Engine) -> Reports:
    return Reports(engine)


@pytest.fixture
def published(reports: Reports, tmp_path: Path) -> Callable[[], str]:
    def write() -> str:
        with reports.engine.begin() as connection:
            return publish(connection, load_settings(home=tmp_path)).page

    return write


@pytest.fixture(scope="module")
def weeks(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a clinic's reports over some weeks, made once: no test changes it."""
    some_weeks(Reports(module_engine))
    with module_engine.begin() as connection:
        return publish(connection, load_settings(home=tmp_path_factory.mktemp("weeks"))).page


def _found(page: Page) -> str:
    return page.locator("#found").inner_text()


def _shown(page: Page) -> int:
    return page.locator("#rows > tr").count()


def _without_trouble(watched: Watched) -> None:
    assert watched.trouble == []
    assert watched.outside == []


def test_it_opens_from_the_disk_without_error_and_asks_for_nothing(weeks: str, open_page: Open) -> None:
    watched = open_page(weeks)
    expect(watched.page.locator("h1")).to_contain_text("36 of 6,437 photographs")
    watched.page.mouse.wheel(0, 100_000)
    watched.page.locator("details").first.locator("summary").click()
    _without_trouble(watched)


def test_the_pictures_are_drawn(weeks: str, open_page: Open) -> None:
    """Wide ones on a desktop, narrow ones on a telephone; painted in the page's colours, and none of them empty."""
    for size, kind, hidden in (((1280, 900), "wide", "narrow"), (PHONE, "narrow", "wide")):
        page = open_page(weeks, size).page
        pictures = page.locator(f".chart .{kind} svg")
        assert pictures.count() == 3
        for number in range(3):
            box = pictures.nth(number).bounding_box()
            assert box is not None
            assert box["width"] > 250
            assert box["height"] > 150
            assert box["x"] + box["width"] <= size[0]
        assert page.locator(f".chart .{hidden} svg:visible").count() == 0
        bars = pictures.first.locator("g.mark-rect path")
        assert bars.count() == 6
        painted = bars.first.evaluate("bar => getComputedStyle(bar).fill")
        assert painted == "rgb(15, 118, 110)"
    dark = open_page(weeks, color_scheme="dark").page
    bar = dark.locator(".chart .wide svg").first.locator("g.mark-rect path").first
    assert bar.evaluate("bar => getComputedStyle(bar).fill") == "rgb(63, 184, 166)"
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 25)"


def test_the_list_is_turned_page_by_page(weeks: str, open_page: Open) -> None:
    watched = open_page(weeks)
    page = watched.page
    assert (_shown(page), _found(page)) == (50, f"1 to 50 of {TOTAL}")
    expect(page.locator("#previous")).to_be_disabled()
    page.locator("#next").click()
    assert _found(page) == f"51 to 100 of {TOTAL}"
    page.locator("#last").click()
    assert _found(page) == f"251 to {TOTAL} of {TOTAL}"
    assert _shown(page) == TOTAL - 250
    expect(page.locator("#next")).to_be_disabled()
    page.locator("#size").select_option("250")
    assert (_shown(page), _found(page)) == (250, f"1 to 250 of {TOTAL}")
    seen = set(page.locator("#rows .subject").all_inner_texts())
    page.locator("#next").click()
    assert seen.isdisjoint(page.locator("#rows .subject").all_inner_texts())
    _without_trouble(watched)


def test_a_search_finds_every_word_in_subject_evidence_and_class(weeks: str, open_page: Open) -> None:
    watched = open_page(weeks)
    page = watched.page
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.locator("#search").fill("recid 1001")
    expect(page.locator("#found")).to_have_text("1 to 1 of 1")
    assert page.locator("#rows .id").all_inner_texts() == ["1001"]
    page.locator("#search").fill("  DOUBLED images-bulk-dump ")
    expect(page.locator("#found")).to_have_text(f"1 to 50 of {OPEN[Kind.IMAGE_DOUBLED]}")
    assert page.locator(".classes > li:visible h4").all_inner_texts() == ["Image doubled\nwarning"]
    page.locator("#search").fill("no such thing")
    expect(page.locator("#found")).to_have_text("No finding fits. Clear the filters to see all.")
    expect(page.locator(".classes")).to_be_hidden()
    page.locator("#reset").click()
    expect(page.locator("#found")).to_have_text(f"1 to 50 of {TOTAL}")
    assert page.locator(".classes > li:visible").count() == len(OPEN)
    _without_trouble(watched)


def test_filters_narrow_the_list_and_the_classes(weeks: str, open_page: Open) -> None:
    watched = open_page(weeks)
    page = watched.page
    page.get_by_role("checkbox", name="warning").uncheck()
    page.get_by_role("checkbox", name="good to know").uncheck()
    errors = sum(count for kind, count in OPEN.items() if kind.severity == "error")
    assert _found(page) == f"1 to 50 of {errors}"
    assert page.locator(".classes > li:visible").count() == 4
    page.get_by_role("button", name="Clear").click()
    for choice, count in (("new", NEW), ("gone", GONE), ("accepted", ACCEPTED)):
        page.locator("#status").select_option(choice)
        assert _found(page) == f"1 to {count} of {count}"
        assert page.locator("#rows .status").all_inner_texts() == [choice] * count
    assert "scanned before dates were kept" in page.locator("#rows").inner_text()
    page.locator("#status").select_option("open")
    page.locator("#class").select_option("count_wrong")
    assert _found(page) == f"1 to {OPEN[Kind.COUNT_WRONG]} of {OPEN[Kind.COUNT_WRONG]}"
    _without_trouble(watched)


def test_a_class_leads_to_its_findings(weeks: str, open_page: Open) -> None:
    page = open_page(weeks).page
    page.get_by_role("button", name="Show the findings of class Mirrored side").click()
    assert _found(page) == f"1 to {OPEN[Kind.MIRRORED_SIDE]} of {OPEN[Kind.MIRRORED_SIDE]}"
    expect(page.locator("#list-title")).to_be_in_viewport()
    assert page.locator("#class").input_value() == "mirrored_side"


def test_the_list_is_sorted_by_a_heading(weeks: str, open_page: Open) -> None:
    page = open_page(weeks).page
    page.locator("#class").select_option("row_without_object")
    heading = page.get_by_role("columnheader", name="Subject")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    ascending = [int(text) for text in page.locator("#rows .id").all_inner_texts()]
    assert ascending == sorted(ascending)
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert [int(text) for text in page.locator("#rows .id").all_inner_texts()] == ascending[::-1]


def test_a_keyboard_is_enough(weeks: str, open_page: Open) -> None:
    page = open_page(weeks).page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Go to the findings")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#findings")).to_be_focused()
    reached: list[str] = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name || ''"))
    assert [name for name in reached if name in ("search", "severity", "status", "class", "reset")] == [
        "search", "severity", "severity", "severity", "status", "class", "reset",
    ]  # fmt: skip
    page.locator("input[value=warning]").focus()
    page.keyboard.press("Space")
    assert _found(page).endswith(f" of {TOTAL - 165}")


@pytest.mark.parametrize("size", [PHONE, (320, 640), (768, 1024), (1280, 900), (2200, 1200)])
def test_nothing_sticks_out_of_the_window(weeks: str, open_page: Open, size: tuple[int, int]) -> None:
    page = open_page(weeks, size).page
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.locator("#class").select_option("object_without_row")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_fingers_find_the_controls_on_a_telephone(weeks: str, open_page: Open) -> None:
    page = open_page(weeks, PHONE, has_touch=True, is_mobile=True).page
    for selector in ("#search", "#status", "#class", "#reset", "#next", ".classes .show"):
        box = page.locator(selector).first.bounding_box()
        assert box is not None
        assert box["height"] >= 40, selector
    assert _shown(page) == 25


def test_it_prints_without_its_controls(weeks: str, open_page: Open, tmp_path: Path) -> None:
    page = open_page(weeks, color_scheme="dark").page
    page.emulate_media(media="print")
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator(".pager")).to_be_hidden()
    expect(page.locator(".chart .wide svg").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 33, 39)"
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000


def test_without_javascript_the_classes_are_there(weeks: str, open_page: Open) -> None:
    page = open_page(weeks, java_script_enabled=False).page
    assert page.locator(".classes > li").count() == len(OPEN)
    expect(page.get_by_text("The list of single findings needs JavaScript.")).to_be_visible()
    expect(page.locator("#filters")).to_be_hidden()


# --- hostile texts ----------------------------------------------------------------------------------------------------


class _Listener(http.server.BaseHTTPRequestHandler):
    heard: list[str]

    def do_GET(self) -> None:
        self.heard.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its parent's name
        pass


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A web server that a page must not call; its address, and what it heard."""
    heard: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (_Listener,), {"heard": heard}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_text_becomes_a_program_or_a_request(
    reports: Reports, published: Callable[[], str], open_page: Open, listener: tuple[str, list[str]]
) -> None:
    address, heard = listener
    hostile = (
        f"</script><script>window.broken=1</script><img src={address}/image onerror=window.broken=2>"
        "<!-- \"'&\u2028 \u202e \U0001f600"
    )
    reports.add(verdict=hostile)
    reports.add({Kind.ROW_WITHOUT_OBJECT: 1}, waived={Kind.UNDATED: 1}, verdict=hostile)
    reports.find(Kind.ROW_WITHOUT_OBJECT, f"recid {hostile}", {"recid": hostile, "says": hostile, hostile: [hostile]})
    reports.find(Kind.UNDATED, "recid 1", waiver=hostile)
    watched = open_page(published())
    page = watched.page
    page.locator("#search").fill("broken=1")
    expect(page.locator("#found")).to_have_text("1 to 1 of 1")
    assert page.locator("#rows .id").first.text_content() == hostile
    page.locator("#status").select_option("accepted")
    assert hostile in page.locator("#rows").text_content()  # type: ignore[operator]
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    _without_trouble(watched)
    assert heard == []


def test_the_policy_stops_whatever_would_call_out(
    reports: Reports, published: Callable[[], str], open_page: Open, listener: tuple[str, list[str]]
) -> None:
    address, heard = listener
    reports.add()
    watched = open_page(published())
    with pytest.raises(Error, match="Failed to fetch"):
        watched.page.evaluate(f"fetch('{address}/fetched')")
    watched.page.evaluate(
        f"""() => {{
            document.body.insertAdjacentHTML("beforeend", "<img src='{address}/image'><iframe src='{address}/frame'>");
            const script = document.createElement("script");
            script.textContent = "window.broken = 1";
            document.body.append(script);
        }}"""
    )
    watched.page.wait_for_timeout(300)
    assert watched.page.evaluate("window.broken") is None
    assert heard == []
    assert any("Content Security Policy" in said for said in watched.trouble)


# --- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_it_is_usable_at_a_hundred_thousand_findings(
    reports: Reports, published: Callable[[], str], open_page: Open
) -> None:
    """The page has room for the newest of each class, small classes in full, and says where the others are."""
    counts = {Kind.ROW_WITHOUT_OBJECT: 60_000, Kind.IMAGE_DOUBLED: 39_990, Kind.UNDATED: 10}
    reports.add(counts)
    for kind, count in counts.items():
        reports.find_many(kind, count)
    path = published()
    assert Path(path).stat().st_size < 8_000_000
    with Path(path).with_name("findings.csv").open("rb") as file:
        assert sum(1 for _ in file) == 100_001
    watched = open_page(path)
    page = watched.page
    expect(page.get_by_text("This page has room for 20,000 of 100,000 findings")).to_be_visible()
    assert _found(page) == "1 to 50 of 20,000"
    page.locator("#search").fill("doubled 4711")
    expect(page.locator("#found")).not_to_contain_text("20,000")
    assert "4711" in page.locator("#rows .id").all_inner_texts()
    page.locator("#reset").click()
    page.locator("#last").click()
    assert _found(page) == "19,951 to 20,000 of 20,000"
    page.locator("#class").select_option("undated")
    assert _found(page) == "1 to 10 of 10"
    _without_trouble(watched)
