"""Every stream, bucket and consumer of wafleet as data, and ``ensure``, which makes the server have them.

Theory of operation. ``STREAM.CREATE`` with a configuration that the server already has is a success, with another one
it answers 10058 and ``STREAM.UPDATE`` follows: so any number of gateways may run ``ensure`` at once. ``max_bytes`` is a
reservation: a server refuses (10047) what exceeds the rest of its ``max_file_store`` (by default three quarters of the
free disk; all bounds of ``StoreConfig`` are 14 GiB). ``ensure`` then halves all bounds until they fit, says so in the
log, and asks for the full ones again at its next run. A smaller bound drops nothing from streams that discard new
messages. What an operator gave a stream beyond the settings, bytes or replicas, is left to it, also then. A server that
was started again with less room than it has reserved keeps its streams and refuses every change of them, also to less:
they are used as they are.

Owns names, subjects and bounds. Imports configs and the connection.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from actors.config import LeaseConfig, QueueConfig, StoreConfig
from actors.errors import Unavailable
from actors.messages.ids import SessionKey
from actors.messages.jobs import LaneName
from gateway.answers import Refused
from gateway.connection import Bus
from gateway.subjects import INBOX_SUBJECTS

WA_JOBS: Final = "WA_JOBS"
WA_EVENTS: Final = "WA_EVENTS"
WA_INBOX: Final = "WA_INBOX"
SESSIONS: Final = "wa_sessions"
STATUS: Final = "wa_status"
LEASES: Final = "wa_leases"
EPOCHS: Final = "wa_epochs"
JOB_RECORDS: Final = "wa_job_records"
PROFILE_HEADS: Final = "wa_profile_heads"
SNAPSHOTS: Final = "wa_profile_snapshots"
RETIRED_SNAPSHOTS: Final = "wa_profile_quarantine"

_MIB: Final = 2**20
_MIN_MAX_BYTES: Final = 4 * _MIB
_MAX_HALVINGS: Final = 8
_DUPLICATE_WINDOW_S: Final = 120.0
_LEAST_DUPLICATE_WINDOW_S: Final = 0.1
"""The server takes none smaller (0 would mean its default)."""
_INBOX_AT_ONCE: Final = 1_024
"""Commands of the inbox that are being handled or wait for another try, over all gateways."""
_NAME_IN_USE: Final = 10058
_NO_STORAGE: Final = 10047
_NOT_FOUND: Final = 10059

_SETTINGS: Final = {
    WA_JOBS: "jobs_max_bytes",
    WA_EVENTS: "events_max_bytes",
    WA_INBOX: "inbox_max_bytes",
    f"KV_{JOB_RECORDS}": "records_max_bytes",
    f"OBJ_{SNAPSHOTS}": "snapshots_max_bytes",
    f"OBJ_{RETIRED_SNAPSHOTS}": "retired_snapshots_max_bytes",
}

_log = logging.getLogger("wafleet.nats")


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """What a durable pull consumer is to be. It hands a message out until it is acknowledged: its reader counts."""

    name: str
    ack_wait_s: float
    max_ack_pending: int

    def config(self) -> dict[str, Any]:
        """Render as JetStream's API wants it."""
        return {
            "name": self.name,
            "durable_name": self.name,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self.ack_wait_s * 1e9),
            "max_deliver": -1,
            "max_ack_pending": self.max_ack_pending,
            "replay_policy": "instant",
        }


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What a stream is to be; a bucket is a stream ``KV_<name>`` with one message per key."""

    name: str
    subjects: tuple[str, ...]
    max_bytes: int
    discard: Literal["old", "new"]
    max_age_s: float = 0.0
    """0: kept until deleted."""
    max_per_subject: int = -1
    refuse_per_subject: bool = False
    """A subject that holds ``max_per_subject`` refuses the next message, instead of losing its oldest."""
    republish_to: str | None = None
    """Where each stored message is shown again, with its sequence, to plain subscribers."""
    is_bucket: bool = False
    retention: Literal["limits", "workqueue"] = "limits"
    """``workqueue``: what its consumer acknowledged is deleted."""
    duplicate_window_s: float = _DUPLICATE_WINDOW_S
    consumers: tuple[ConsumerSpec, ...] = ()
    takes_ttl: bool = False
    """A message may name a shorter life than ``max_age_s`` (``Nats-TTL``; nats-server 2.11, older ones ignore it)."""
    is_object_store: bool = False
    """Named ``OBJ_<name>``, after NATS ADR-20: its writers delete what they replace, and nothing goes by itself."""
    replicas: int = 1
    is_enlarged: bool = False
    """An operator gave it more room than the settings do: it keeps that."""

    def beside(self, held: Mapping[str, Any]) -> "StreamSpec":
        """Return the same with no less than an operator gave the stream that the server holds (-1: no bound)."""
        replicas = max(self.replicas, held["num_replicas"])
        if 0 <= held["max_bytes"] <= self.max_bytes:
            return replace(self, replicas=replicas)
        return replace(self, replicas=replicas, max_bytes=held["max_bytes"], is_enlarged=True)

    def halved(self, times: int) -> "StreamSpec":
        """Return the same with a smaller bound, for a server with little room."""
        if self.is_enlarged:
            return self
        return replace(self, max_bytes=max(self.max_bytes >> times, min(self.max_bytes, _MIN_MAX_BYTES)))

    def config(self) -> dict[str, Any]:
        """Render as JetStream's API wants it (durations in nanoseconds)."""
        window_s = min(self.duplicate_window_s, self.max_age_s or self.duplicate_window_s)
        config: dict[str, Any] = {
            "name": self.name,
            "subjects": list(self.subjects),
            "storage": "file",
            "retention": self.retention,
            "num_replicas": self.replicas,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": self.max_bytes,
            "max_msg_size": -1,
            "max_age": int(self.max_age_s * 1e9),
            "max_msgs_per_subject": self.max_per_subject,
            "discard": self.discard,
            "discard_new_per_subject": self.refuse_per_subject,
            "duplicate_window": int(window_s * 1e9),
            "allow_direct": True,
            "allow_msg_ttl": self.takes_ttl,
            "allow_rollup_hdrs": self.is_bucket or self.is_object_store,
            "deny_delete": self.is_bucket,
        }
        if self.republish_to is not None:
            config["republish"] = {"src": self.subjects[0], "dest": self.republish_to}
        return config


def declared(
    queue: QueueConfig | None = None, lease: LeaseConfig | None = None, store: StoreConfig | None = None
) -> tuple[StreamSpec, ...]:
    """List all streams and buckets under these bounds (the defaults where none are given)."""
    queue = queue or QueueConfig()
    lease = lease or LeaseConfig()
    store = store or StoreConfig()
    specs = (
        StreamSpec(
            WA_JOBS, ("wa.*.job.*.*",), store.jobs_max_bytes, "new",
            max_per_subject=queue.max_waiting_per_lane, refuse_per_subject=True,
        ),
        StreamSpec(WA_EVENTS, ("wa.*.evt.>",), store.events_max_bytes, "old", max_age_s=7 * 86_400.0),
        StreamSpec(
            WA_INBOX, (INBOX_SUBJECTS,), store.inbox_max_bytes, "new", max_age_s=86_400.0,
            max_per_subject=queue.max_waiting_per_lane, refuse_per_subject=True,
            retention="workqueue", duplicate_window_s=_LEAST_DUPLICATE_WINDOW_S,
            consumers=(inbox_reader(queue),),
        ),
        _bucket(SESSIONS, store.bucket_max_bytes, republish=True),
        _bucket(STATUS, store.bucket_max_bytes, republish=True),
        _bucket(LEASES, store.bucket_max_bytes, ttl_s=lease.ttl_s),
        _bucket(EPOCHS, store.bucket_max_bytes),
        # As long as the longest job: without its record a job would be sent a second time. Records with an outcome, by
        # far the most, name their own shorter life (``gateway.records``).
        replace(
            _bucket(JOB_RECORDS, store.records_max_bytes, ttl_s=queue.max_expiry_s + queue.record_ttl_s), takes_ttl=True
        ),
        _bucket(PROFILE_HEADS, store.bucket_max_bytes),
        _object_store(SNAPSHOTS, store.snapshots_max_bytes),
        _object_store(RETIRED_SNAPSHOTS, store.retired_snapshots_max_bytes, ttl_s=7 * 86_400.0),
    )  # fmt: skip
    return tuple(replace(spec, replicas=store.replicas) for spec in specs)


def setting_of(stream: str) -> str:
    """Name the setting that bounds a stream of ours, for those who find it full."""
    return f"WAFLEET_STORE.{_SETTINGS.get(stream, 'bucket_max_bytes')}"


def inbox_reader(queue: QueueConfig) -> ConsumerSpec:
    """Declare the one consumer of ``WA_INBOX``, which all gateways share."""
    return ConsumerSpec("gateways", queue.inbox_ack_wait_s, _INBOX_AT_ONCE)


async def ensure(bus: Bus, specs: Sequence[StreamSpec] | None = None) -> None:
    """Make the server have all streams and buckets. Raises ``Unavailable`` where it cannot."""
    held = [(spec, await _held(bus, spec.name)) for spec in (declared() if specs is None else specs)]
    wanted = [spec if config is None else spec.beside(config) for spec, config in held]
    room_mib = reserved_bytes(wanted) // _MIB
    for halvings in range(_MAX_HALVINGS + 1):
        if await _ensure_all(bus, [spec.halved(halvings) for spec in wanted]):
            if halvings:
                _log.warning(
                    "JetStream has no room for %d MiB: all streams are bounded to 1/%d of that; give it more storage",
                    room_mib,
                    2**halvings,
                )
            return
    least_mib = reserved_bytes([spec.halved(_MAX_HALVINGS) for spec in wanted]) // _MIB
    if any(config is None for _, config in held):
        raise Unavailable(f"JetStream has no room for {least_mib} MiB; raise max_file_store or free its disk")
    _log.warning(
        "JetStream has no room for %d MiB and refuses to change its streams: they stay as they are; "
        "raise max_file_store or free its disk",
        room_mib,
    )
    await _ensure_consumers(bus, wanted)


def reserved_bytes(specs: Sequence[StreamSpec]) -> int:
    """Return what streams together reserve of a server's ``max_file_store``."""
    return sum(max(0, spec.max_bytes) for spec in specs)


def job_subject(key: SessionKey, lane: LaneName | Literal["*"]) -> str:
    """Subject of one lane (``*``: of all) of a session's job log."""
    return f"wa.{key.tenant_id}.job.{key.session_id}.{lane}"


def event_subject(key: SessionKey, event: str) -> str:
    """Subject of one event of a session; ``>`` stands for all events, and ``*`` as a session id for all sessions."""
    return f"wa.{key.tenant_id}.evt.{key.session_id}.{event}"


def republished(bucket: str) -> str:
    """Prefix of the subjects under which a watched bucket's stored changes are shown."""
    return f"wafleet.kv.{bucket}."


def _bucket(name: str, max_bytes: int, *, ttl_s: float = 0.0, republish: bool = False) -> StreamSpec:
    return StreamSpec(
        f"KV_{name}",
        (f"$KV.{name}.>",),
        max_bytes,
        "new",
        max_age_s=ttl_s,
        max_per_subject=1,
        republish_to=f"{republished(name)}>" if republish else None,
        is_bucket=True,
    )


def _object_store(name: str, max_bytes: int, *, ttl_s: float = 0.0) -> StreamSpec:
    subjects = (f"$O.{name}.C.>", f"$O.{name}.M.>")
    return StreamSpec(f"OBJ_{name}", subjects, max_bytes, "new", max_age_s=ttl_s, is_object_store=True)


async def _ensure_all(bus: Bus, specs: Sequence[StreamSpec]) -> bool:
    """Create or update all; False if the server has not so much room. Raises ``Unavailable``."""
    for spec in specs:
        refused = await _create_or_update(bus, spec)
        if refused is not None:
            if refused.err_code == _NO_STORAGE:
                return False
            raise refused.unavailable(f"stream {spec.name}")
    await _ensure_consumers(bus, specs)
    return True


async def _ensure_consumers(bus: Bus, specs: Sequence[StreamSpec]) -> None:
    for spec in specs:
        for consumer in spec.consumers:
            await ensure_consumer(bus, spec.name, consumer)


async def ensure_consumer(bus: Bus, stream: str, spec: ConsumerSpec) -> None:
    """Make the server have a consumer as it is declared. Raises ``Unavailable``."""
    request = {"stream_name": stream, "config": spec.config()}
    made = await bus.api(f"CONSUMER.CREATE.{stream}.{spec.name}", request)
    if isinstance(made, Refused):
        raise made.unavailable(f"consumer {spec.name} of {stream}")


async def _held(bus: Bus, stream: str) -> Mapping[str, Any] | None:
    """Return the configuration of a stream that is there."""
    info = await bus.api(f"STREAM.INFO.{stream}")
    if not isinstance(info, Refused):
        config: Mapping[str, Any] = info["config"]
        return config
    if info.err_code == _NOT_FOUND:
        return None
    raise info.unavailable(f"a look at stream {stream}")


async def _create_or_update(bus: Bus, spec: StreamSpec) -> Refused | None:
    held = await _held(bus, spec.name)
    # The server leaves out what is false or 0.
    if held is not None and all(held.get(name, 0) == value for name, value in spec.config().items()):
        return None
    created = await bus.api(f"STREAM.CREATE.{spec.name}", spec.config())
    # The server looks at the room for a stream before it sees that it is there.
    if not isinstance(created, Refused) or created.err_code not in {_NAME_IN_USE, _NO_STORAGE}:
        return created if isinstance(created, Refused) else None
    updated = await bus.api(f"STREAM.UPDATE.{spec.name}", spec.config())
    if not isinstance(updated, Refused):
        return None
    return created if updated.err_code == _NOT_FOUND else updated
