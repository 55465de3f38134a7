"""Jobs and events with defaults, for tests of the gateway's data."""

from datetime import UTC, datetime, timedelta

from ulid import ULID

from actors.messages.ids import SessionKey, message_id_of_job
from actors.messages.jobs import Job, LaneName, TextContent

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
