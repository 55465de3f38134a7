"""Jobs and events with defaults, and a store whose answers are lost, for tests of the gateway."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ulid import ULID

from actors.errors import Unavailable
from actors.messages.events import Event, SessionData, build_event
from actors.messages.ids import SessionKey, message_id_of_job
from actors.messages.jobs import Job, LaneName, TextContent
from actors.messages.records import DesiredSession, SnapshotManifest
from actors.messages.replies import SessionStatus
from gateway.connection import Bus

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


def make_job(key: SessionKey, *, lane: LaneName = "normal", text: str = "hello", job_id: str | None = None) -> Job:
    """A text job."""
    job_id = job_id or str(ULID())
    return Job(
        job_id=job_id,
        request_id=str(ULID()),
        tenant_id=key.tenant_id,
        session_id=key.session_id,
        lane=lane,
        to="6281234567890",
        content=TextContent(message=text),
        message_id=message_id_of_job(job_id),
        body_hash="0" * 64,
        accepted_at=MOMENT,
        expires_at=MOMENT + timedelta(days=7),
    )


def make_event(key: SessionKey, number: int, *, seq: int | None, event: str = "session.ready") -> Event:
    """A session event; its id follows from the number."""
    return build_event(
        id=f"e{number}",
        tenant_id=key.tenant_id,
        session_id=key.session_id,
        time=MOMENT,
        seq=seq,
        epoch=1,
        event=event,
        data=SessionData(status="ready", state="ready"),
    )


def make_status(key: SessionKey, state: str = "ready") -> SessionStatus:
    """A status object."""
    return SessionStatus(tenant_id=key.tenant_id, session_id=key.session_id, status="ready", state=state, since=MOMENT)


def make_desired(key: SessionKey, *, starts: int = 1) -> DesiredSession:
    """A session that is to run."""
    return DesiredSession(
        tenant_id=key.tenant_id,
        session_id=key.session_id,
        target="running",
        revision_of_start=starts,
        changed_at=MOMENT,
    )


def make_manifest(content: bytes, *, epoch: int = 1) -> SnapshotManifest:
    """What is said of a snapshot with this content."""
    return SnapshotManifest(
        epoch=epoch,
        generation=f"g{epoch}",
        browser_build="shell 1",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        taken_at=datetime(2026, 1, 2, tzinfo=UTC),
        was_running=False,
    )


@contextmanager
def unanswered(bus: Bus) -> Iterator[None]:
    """What is stored meanwhile is stored, but the answer is lost."""
    store = bus.store

    async def stored_in_silence(subject: str, body: bytes, **options: Any) -> None:
        await store(subject, body, **options)
        raise Unavailable("no answer within 5 s")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bus, "store", stored_in_silence)
        yield
