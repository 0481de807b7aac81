"""Addresses of containers: wherever they claim to lead, a credential goes to the configured server only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.errors import SettingsError
from fm_migration.filemaker.data_api.addresses import container_url, origin_of, redirected, segment, server_origin

HERE = server_origin("https://FileMaker.example.org/")
PATH = "/Streaming_SSL/MainDB/ab12.jpg?RCType=EmbeddedRCFileProcessor"
ASKED = f"https://filemaker.example.org{PATH}"


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        (f"https://filemaker.example.org:443{PATH}", f"https://filemaker.example.org:443{PATH}"),
        (f"https://FILEMAKER.example.org{PATH}", f"https://FILEMAKER.example.org{PATH}"),
        (f"http://filemaker.example.org{PATH}", ASKED),
        (f"https://filemaker.example.org:8443{PATH}", ASKED),
        (f"https://filemaker.example.orgClinic{PATH}", ASKED),
        (f"https://filemaker.example.org{PATH.removeprefix('/')}", ASKED),
        (f"https://evil.example.net{PATH}", ASKED),
        (f"https://filemaker.example.org@evil.example.net{PATH}", ASKED),
        (PATH, ASKED),
        ("https://evil.example.net/somewhere/else", None),
        ("?", None),
        ("", None),
        ("IMG_0001.JPG", None),
    ],
)
def test_a_container_is_asked_for_at_the_configured_server(value: str, asked: str | None) -> None:
    assert container_url(value, HERE) == asked


@given(st.text(max_size=60), st.sampled_from(["https://evil.example.net", "//evil.example.net", "http://x", ""]))
def test_no_text_leads_elsewhere(text: str, start: str) -> None:
    asked = container_url(f"{start}{text}{PATH}", HERE)
    assert asked is None or origin_of(asked) == HERE


@pytest.mark.parametrize(
    ("location", "to"),
    [
        (f"{PATH}&Redirect", f"{ASKED}&Redirect"),
        (f"{ASKED}&Redirect", f"{ASKED}&Redirect"),
        (f"https://filemaker.example.org:443{PATH}", f"https://filemaker.example.org:443{PATH}"),
        ("https://evil.example.net/x", None),
        ("http://filemaker.example.org/x", None),
    ],
)
def test_a_redirection_is_followed_to_the_same_server_only(location: str, to: str | None) -> None:
    assert redirected(location, ASKED, HERE) == to


@pytest.mark.parametrize(
    "url", ["http://filemaker.example.org", "filemaker.example.org", "https://me:secret@host", "https://host/fmi", ""]
)
def test_only_https_without_a_path_or_an_account_is_a_server(url: str) -> None:
    with pytest.raises(SettingsError) as failure:
        server_origin(url)
    assert "secret" not in str(failure.value)


def test_names_are_quoted_as_one_segment() -> None:
    assert segment("API Images/äöü") == "API%20Images%2F%C3%A4%C3%B6%C3%BC"
