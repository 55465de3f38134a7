"""Jobs and records for tests of the core."""

from datetime import UTC, datetime, timedelta
from typing import Any

from actors.core.mailbox import Held
from actors.messages.ids import message_id_of_job
from actors.messages.jobs import Attempt, Job, JobRecord, LaneName, TextContent, new_record
from actors.messages.records import DesiredSession

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FOREVER = 1e9


def job(n: int, lane: LaneName = "normal", **fields: Any) -> Job:
    job_id = f"01J{n:023d}"
    values: dict[str, Any] = {
        "job_id": job_id,
        "request_id": f"r{n}",
        "tenant_id": "acme",
        "session_id": "s1",
        "lane": lane,
        "to": "6281234567890",
        "content": TextContent(message=f"hello {n}"),
        "message_id": message_id_of_job(job_id),
        "body_hash": "0" * 64,
        "accepted_at": NOW,
        "expires_at": NOW + timedelta(days=7),
    }
    return Job(**(values | fields))


def held(seq: int, lane: LaneName = "normal", *, expires_at: float = FOREVER, **fields: Any) -> Held:
    return Held(seq, job(seq, lane, **fields), expires_at)


def attempt(n: int = 1, *, epoch: int = 1, page: int = 1, generation: str = "g1", in_doubt: bool = False) -> Attempt:
    return Attempt(
        n=n,
        epoch=epoch,
        generation=generation,
        full_key=f"true_6281234567890@c.us_{message_id_of_job(job(1).job_id)}",
        chat_id="6281234567890@c.us",
        page=page,
        in_doubt=in_doubt,
    )


def record(*attempts: Attempt, **fields: Any) -> JobRecord:
    status = "sending" if attempts else "accepted"
    return new_record(job(1)).model_copy(update={"status": status, "attempts": attempts} | fields)


def desired(**fields: Any) -> DesiredSession:
    values: dict[str, Any] = {"tenant_id": "acme", "session_id": "s1", "target": "running", "changed_at": NOW}
    return DesiredSession(**(values | fields))
