"""Settings: read from the environment and ``.env``, wrong ones named."""

from pathlib import Path

import pytest

from actors.config import LeaseConfig, QueueConfig, StoreConfig, SupervisorConfig
from gateway.settings import InvalidSettings, Settings, load_settings


@pytest.fixture(autouse=True)
def empty_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder without ``.env``, and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def test_without_any_variable_everything_has_its_default(empty_place: Path) -> None:
    settings = load_settings()
    assert (settings.nats_url, settings.ray_address, settings.default_tenant_id) == (None, None, "default")
    session = settings.session_config()
    assert session.sessions_path == empty_place / ".wafleet" / "sessions"
    assert session.browser.web_url == "https://web.whatsapp.com/"
    assert settings.supervisor_config() == SupervisorConfig()
    assert settings.lease_config() == LeaseConfig()
    assert settings.queue_config() == QueueConfig()
    assert settings.store_config() == StoreConfig()


def test_the_environment_goes_before_the_file_and_arguments_before_both(
    monkeypatch: pytest.MonkeyPatch, empty_place: Path
) -> None:
    (empty_place / ".env").write_text("NATS_URL=nats://file:1\nRAY_ADDRESS=file:2\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("NATS_URL", "nats://environment:1")
    monkeypatch.setenv("DEFAULT_TENANT_ID", "")
    settings = load_settings(whatsapp_web_url="http://127.0.0.1:1/")
    assert (settings.nats_url, settings.ray_address) == ("nats://environment:1", "file:2")
    assert settings.default_tenant_id == "default"
    assert settings.session_config().browser.web_url == "http://127.0.0.1:1/"


def test_fields_without_a_variable_are_reached_through_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAFLEET_BROWSER", "/usr/bin/chromium")
    monkeypatch.setenv("WAFLEET_MEDIA_PRIVATE_HOSTS", "files.internal, 10.0.0.1:8080")
    monkeypatch.setenv("WAFLEET_SESSION", '{"retry": {"max_attempts": 3}, "browser": {"sandbox": true}}')
    monkeypatch.setenv("WAFLEET_MAX_WAITING_PER_LANE", "5")
    session = load_settings().session_config()
    assert session.retry.max_attempts == 3
    assert (session.browser.executable, session.browser.sandbox) == ("/usr/bin/chromium", True)
    assert session.browser.media.allowed_private_hosts == {"files.internal", "10.0.0.1:8080"}
    assert load_settings().queue_config().max_waiting_per_lane == 5
    monkeypatch.setenv("WAFLEET_STORE", '{"replicas": 3, "records_max_bytes": 17179869184}')
    assert load_settings().store_config() == StoreConfig(replicas=3, records_max_bytes=16 * 2**30)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("WAFLEET_MAX_SESSIONS", "many", r"WAFLEET_MAX_SESSIONS: .*valid integer.*got 'many'"),
        ("DEFAULT_TENANT_ID", "a.b", r"DEFAULT_TENANT_ID: .*pattern.*got 'a\.b'"),
        ("WHATSAPP_WEB_URL", "web.whatsapp.com", r"WHATSAPP_WEB_URL: .*pattern"),
        ("WAFLEET_QUEUE", "{x", r"WAFLEET_QUEUE: .*expected a JSON object.*got '\{x'"),
        ("WAFLEET_QUEUE", "[1]", r"WAFLEET_QUEUE: .*dictionary, got \[1\]"),
        (
            "WAFLEET_QUEUE",
            '{"record_ttl_s": -1}',
            r"WAFLEET_QUEUE\.record_ttl_s: .*or equal to 86400, got -1",
        ),
        ("WAFLEET_QUEUE", '{"max_expiry_s": 60}', r"WAFLEET_QUEUE: expected .* <= max_expiry_s.* 604800, 30 and 60"),
        ("WAFLEET_STORE", '{"jobs_max_bytes": 5}', r"WAFLEET_STORE\.jobs_max_bytes: .*greater than or equal.*got 5"),
        ("WAFLEET_SESSION", '{"retry": {"tries": 1}}', r"WAFLEET_SESSION\.retry\.tries: Extra inputs.*got 1"),
        ("WAFLEET_SUPERVISOR", '{"reconcile_every_s": "2"}', r"WAFLEET_SUPERVISOR\.reconcile_every_s: .*valid number"),
        (
            "WAFLEET_LEASE",
            '{"ttl_s": 10}',
            r"WAFLEET_LEASE: expected renew_every_s < .* got 2, 8, 11, 12, 10",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected_and_got(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings, match=message):
        load_settings()


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAFLEET_MAX_SESSIONS", "0")
    monkeypatch.setenv("WAFLEET_LOG_LEVEL", "LOUD")
    with pytest.raises(InvalidSettings, match=r"WAFLEET_MAX_SESSIONS: .*; WAFLEET_LOG_LEVEL: "):
        load_settings()
