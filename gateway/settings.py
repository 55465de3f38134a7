"""Settings from the environment and ``.env``: the only module of the project that reads them, but for a node's own.

A node's own values (its name, its folders) come from the environment of its ``ray start``: ``actors.node``.

Each field's name in capitals is the variable. What has no variable of its own is reached through five JSON objects,
``WAFLEET_SESSION``, ``WAFLEET_SUPERVISOR``, ``WAFLEET_LEASE``, ``WAFLEET_QUEUE`` and ``WAFLEET_STORE``, whose keys are
the fields of the models in ``actors.config``: ``WAFLEET_SESSION='{"retry": {"max_attempts": 3}}'``. Imports those
models and pydantic.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from actors.config import LeaseConfig, QueueConfig, SessionConfig, StoreConfig, SupervisorConfig
from actors.messages.ids import ID_PATTERN

M = TypeVar("M", bound=BaseModel)

_SHOWN_CHARS: Final = 80


class InvalidSettings(ValueError):
    """A setting has a value that it may not have; the message names each, what was expected and what was got."""


def _object(value: Any) -> Any:
    """Read a JSON object; what is none is refused with an example."""
    if not isinstance(value, str):
        return value
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as exc:
        msg = f'expected a JSON object like {{"field": 1}}: {exc}'
        raise ValueError(msg) from exc
    return parsed


def _words(value: Any) -> Any:
    """Split ``a,b`` into its words."""
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


JsonObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(_object)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


USUAL_NATS_URL: Final = "nats://127.0.0.1:4222"
"""Where a nats-server listens if nobody says otherwise."""


class Settings(BaseSettings):
    """Everything a person may set. Unset and empty variables mean the default."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    nats_url: str | None = None
    """``nats://[user:password@]host:port``, several with commas between; none: ``wafleet up`` starts a nats-server."""
    ray_address: str | None = None
    """``host:port`` of a Ray head; none: ``wafleet up`` starts one."""
    whatsapp_session_path: Path = Path(".wafleet/sessions")
    """Where profiles lie, ``<tenant>/<session>`` beneath; relative to where the gateway is started."""
    whatsapp_web_url: str = Field(default="https://web.whatsapp.com/", pattern=r"^https?://\S+$")
    """The page; the simulator's address in demo and tests."""
    default_tenant_id: str = Field(default="default", pattern=ID_PATTERN)
    """Tenant of the command line where none is named."""

    wafleet_dir: Path = Path(".wafleet")
    """Where ``wafleet up`` keeps the data and logs of what it starts."""
    wafleet_browser: str = "auto"
    """Path of a Chromium or headless shell, or ``auto``."""
    wafleet_browser_sandbox: bool = False
    """Chromium's own sandbox; it cannot run as root nor in most containers."""
    wafleet_bundle: Path | None = None
    """wa-js bundle, where it does not lie beside ``actors.browser``."""
    wafleet_profile_key: SecretStr | None = None
    """Key of profile snapshots, 32 bytes in base64 or hex; none: made once as ``profile.key`` in ``wafleet_dir``."""
    wafleet_max_sessions: int | None = Field(default=None, ge=1)
    """Sessions (slots ``browser``) of this node; none: as many as its memory allows."""
    wafleet_max_waiting_per_lane: int = Field(default=10_000, ge=1)
    """Waiting jobs of one lane of one session; then ``queue_full``."""
    wafleet_media_max_bytes: int = Field(default=64 * 2**20, ge=1)
    """Largest file that is fetched for a send."""
    wafleet_media_private_hosts: Words = ()
    """Hosts (``name`` or ``name:port``, commas between) that media may be fetched from although they are private."""
    wafleet_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    wafleet_session: JsonObject = Field(default_factory=dict)
    """Fields of ``SessionConfig``; they go before the variables above."""
    wafleet_supervisor: JsonObject = Field(default_factory=dict)
    """Fields of ``SupervisorConfig``."""
    wafleet_lease: JsonObject = Field(default_factory=dict)
    """Fields of ``LeaseConfig``."""
    wafleet_queue: JsonObject = Field(default_factory=dict)
    """Fields of ``QueueConfig``; they go before the variables above."""
    wafleet_store: JsonObject = Field(default_factory=dict)
    """Fields of ``StoreConfig``: room of the streams on the NATS server."""

    def session_config(self) -> SessionConfig:
        """Build the limits of a session. Raises ``InvalidSettings``."""
        bundle = None if self.wafleet_bundle is None else str(self.wafleet_bundle.absolute())
        named = {
            # Absolute: session actors run in other working folders.
            "sessions_path": str(self.whatsapp_session_path.absolute()),
            "browser": {
                "executable": self.wafleet_browser,
                "web_url": self.whatsapp_web_url,
                "bundle_path": bundle,
                "sandbox": self.wafleet_browser_sandbox,
                "media": {
                    "max_bytes": self.wafleet_media_max_bytes,
                    "allowed_private_hosts": list(self.wafleet_media_private_hosts),
                },
            },
        }
        return _build(SessionConfig, "WAFLEET_SESSION", _merged(named, self.wafleet_session))

    def supervisor_config(self) -> SupervisorConfig:
        """Build the limits of the fleet. Raises ``InvalidSettings``."""
        return _build(SupervisorConfig, "WAFLEET_SUPERVISOR", self.wafleet_supervisor)

    def lease_config(self) -> LeaseConfig:
        """Build the times of the leases. Raises ``InvalidSettings``."""
        lease = _build(LeaseConfig, "WAFLEET_LEASE", self.wafleet_lease)
        times = (lease.renew_every_s, lease.send_until_s, lease.kill_after_s, lease.fuse_s, lease.ttl_s)
        if list(times) != sorted(set(times)):
            raise InvalidSettings(
                "WAFLEET_LEASE: expected renew_every_s < send_until_s < kill_after_s < fuse_s < ttl_s, so that an "
                f"owner ends before its lease does, got {', '.join(f'{each:g}' for each in times)}"
            )
        return lease

    def queue_config(self) -> QueueConfig:
        """Build the bounds of the job log. Raises ``InvalidSettings``."""
        named = {"max_waiting_per_lane": self.wafleet_max_waiting_per_lane}
        queue = _build(QueueConfig, "WAFLEET_QUEUE", _merged(named, self.wafleet_queue))
        if max(queue.default_expiry_s, queue.direct_expiry_s) > queue.max_expiry_s:
            raise InvalidSettings(
                "WAFLEET_QUEUE: expected default_expiry_s and direct_expiry_s <= max_expiry_s, so that no job outlives "
                f"its record, got {queue.default_expiry_s:g}, {queue.direct_expiry_s:g} and {queue.max_expiry_s:g}"
            )
        return queue

    def store_config(self) -> StoreConfig:
        """Build the room of the streams. Raises ``InvalidSettings``."""
        return _build(StoreConfig, "WAFLEET_STORE", self.wafleet_store)


def load_settings(**overrides: Any) -> Settings:
    """Read and check all settings.

    Args:
        overrides: Fields (in small letters) that go before the environment, e.g. from the command line.

    Raises:
        InvalidSettings: A value is not allowed; all wrong ones are named.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as exc:
        raise InvalidSettings(_describe("", exc)) from exc
    settings.session_config()
    settings.supervisor_config()
    settings.lease_config()
    settings.queue_config()
    settings.store_config()
    return settings


def _build(model: type[M], variable: str, values: Mapping[str, Any]) -> M:
    try:
        return model.model_validate_json(orjson.dumps(values))
    except ValidationError as exc:
        raise InvalidSettings(_describe(variable + ".", exc)) from exc


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested object over another."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        result[key] = _merged(under, value) if both else value  # type: ignore[arg-type] # both are dicts
    return result


def _describe(prefix: str, exc: ValidationError) -> str:
    lines = []
    for error in exc.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in error["loc"])
        key = prefix + name if prefix else name.upper()
        lines.append(f"{key}: {error['msg'].removeprefix('Value error, ')}, got {repr(error['input'])[:_SHOWN_CHARS]}")
    return "; ".join(lines)
