"""The key of profile snapshots: given, or made once."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.profile_key import profile_key
from gateway.settings import InvalidSettings, Settings, load_settings

KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Settings of a fresh folder."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return load_settings(wafleet_dir=tmp_path / "state")


@pytest.mark.parametrize("text", [KEY.hex(), base64.b64encode(KEY).decode(), f" {KEY.hex().upper()}\n"])
def test_a_key_is_given_in_hex_or_base64(monkeypatch: pytest.MonkeyPatch, text: str, tmp_path: Path) -> None:
    monkeypatch.setenv("WAFLEET_PROFILE_KEY", text)
    settings = load_settings()
    assert profile_key(settings) == KEY
    assert text.strip() not in repr(settings)
    assert not (tmp_path / ".wafleet").exists()


@pytest.mark.parametrize("text", ["short", "z" * 64, base64.b64encode(bytes(16)).decode(), "ä" * 32])
def test_what_is_no_key_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WAFLEET_PROFILE_KEY", text)
    with pytest.raises(InvalidSettings, match="WAFLEET_PROFILE_KEY: expected 32 random bytes") as caught:
        profile_key(load_settings())
    assert text not in str(caught.value)


def test_without_one_it_is_made_once_for_the_owners_eyes_only(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(profile_key, [settings] * 32))
    assert len(keys) == 1
    (file,) = settings.wafleet_dir.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("profile.key", 0o600)
    assert keys == {profile_key(settings)}


def test_a_file_that_is_damaged_or_cannot_be_made_is_named(settings: Settings) -> None:
    settings.wafleet_dir.parent.mkdir(exist_ok=True)
    settings.wafleet_dir.write_text("a file in its place")
    with pytest.raises(InvalidSettings, match="set WAFLEET_PROFILE_KEY"):
        profile_key(settings)
    settings.wafleet_dir.unlink()
    profile_key(settings)
    (settings.wafleet_dir / "profile.key").write_text("")
    with pytest.raises(InvalidSettings, match=r"profile\.key: expected 32 random bytes"):
        profile_key(settings)
