"""Settings: documented where a person looks, validated with messages that name the variable, silent about secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from fm_migration.errors import SettingsError
from fm_migration.settings import Settings, as_env_example, as_markdown, load_settings

PROJECT = Path(__file__).parent.parent


def test_the_documents_are_those_of_the_code() -> None:
    remedy = "run `python -m fm_migration.settings`"
    assert (PROJECT / "docs/settings.md").read_text(encoding="utf-8") == as_markdown(), remedy
    assert (PROJECT / ".env.example").read_text(encoding="utf-8") == as_env_example(), remedy


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FM_DATABASE_URL", "mysql://clinic@db/app", "FM_DATABASE_URL the scheme is 'mysql'; only postgresql://"),
        ("FM_OBJECTS_URL", "https://bucket", "FM_OBJECTS_URL must begin with s3://bucket"),
        ("FM_OBJECTS_URL", "s3://", "FM_OBJECTS_URL must begin with s3://bucket"),
        ("FM_FILEMAKER_URL", "http://filemaker.example.org", "FM_FILEMAKER_URL must be https://host"),
        ("FM_FILEMAKER_URL", "https://me:hunter2@filemaker.example.org", "FM_FILEMAKER_URL must be https://host"),
        ("FM_CLINIC_TIMEZONE", "Atlantis/Poseidonis", "FM_CLINIC_TIMEZONE is not a time zone of the IANA list"),
        ("FM_DATE_ORDER", "ydm", "FM_DATE_ORDER"),
        ("FM_SAMPLE_SIZE", "0", "FM_SAMPLE_SIZE"),
        ("FM_EMBEDDED_POSTGRES_PORT", "70000", "FM_EMBEDDED_POSTGRES_PORT"),
        ("FM_DUMP_PREFIXES", " , ", "FM_DUMP_PREFIXES at least one prefix is needed"),
        ("FM_OWN_PREFIX", "/", "FM_OWN_PREFIX must name a prefix, not the whole bucket"),
        (
            "FM_THUMBNAIL_PREFIX",
            "filemaker-import/images-bulk-dump/thumbs",
            "FM_THUMBNAIL_PREFIX.*inside a dump prefix",
        ),
    ],
)
def test_a_bad_setting_is_named_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_all_bad_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_DATE_ORDER", "ydm")
    monkeypatch.setenv("FM_SAMPLE_SIZE", "much")
    with pytest.raises(SettingsError, match=r"FM_DATE_ORDER, FM_SAMPLE_SIZE: .*docs/settings\.md"):
        load_settings()


def test_no_secret_is_ever_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_DATABASE_URL", "postgresql://clinic:hunter2@db/app")
    monkeypatch.setenv("FM_OBJECTS_SECRET_KEY", "hunter2")
    loaded = load_settings()
    assert "hunter2" not in f"{loaded} {loaded!r} {loaded.model_dump()}"
    monkeypatch.setenv("FM_DATABASE_URL", "mysql://clinic:hunter2@db/app")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"


def test_prefixes_are_a_list_and_end_in_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_DUMP_PREFIXES", "dump, /exports/")
    assert load_settings().dump_prefixes == ("dump/", "exports/")


def test_the_home_is_the_projects_from_any_folder_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workspace.yaml").touch()
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "docs" / "deep")
    assert load_settings().home == tmp_path / ".fm_migration"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`FM_WAIVERS=` was once the folder where the command was started, and the report refused to read it."""
    monkeypatch.chdir(tmp_path)
    unset = load_settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"FM_{name.upper()}", "")
    assert load_settings() == unset


def test_an_empty_line_of_the_env_file_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", str(tmp_path / ".env"))
    (tmp_path / ".env").write_text("FM_WAIVERS=\nFM_DATABASE_URL=\nFM_SAMPLE_SEED=7\n", encoding="utf-8")
    loaded = load_settings()
    assert (loaded.waivers, loaded.database_url, loaded.sample_seed) == (None, None, 7)
