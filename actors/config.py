"""Every limit and deadline of a session and of the fleet, as frozen models with defaults and units in their names.

Reads no environment: ``gateway.settings`` does, and hands these values down. Pure.
"""

from pathlib import Path
from typing import Final

from pydantic import Field

from actors.messages.base import Message

WA_JS_VERSION: Final = "4.6.0"
WA_JS_SHA512: Final = "epf+ucZO9c25dCaGraslVNHB1mRjid7rfijZhKbalXed/gbDzi6u69wdHCgPbcZW9McVpKmVW+3AzffI39p2SQ=="
"""Integrity of the npm tarball ``@wppconnect/wa-js`` at WA_JS_VERSION."""
WA_JS_FILE_SHA512: Final = "mGmRQq3hYv1sYnp4olvHKdkoCmE67IfW/ub/MqH3zxue6gQFtkmDPnBLuuAdmWqsEPrGtKHKlse1vbwUEWSmCg=="
"""Integrity of the one file of it that is injected, for `wafleet doctor`."""


class MediaConfig(Message):
    """What media a send may carry."""

    max_bytes: int = Field(default=64 * 2**20, ge=1)
    fetch_timeout_s: float = Field(default=20.0, gt=0)
    """From the first byte asked to the last byte read."""
    connect_timeout_s: float = Field(default=5.0, gt=0)
    max_redirects: int = Field(default=3, ge=0)
    allowed_private_hosts: frozenset[str] = frozenset()
    """Hosts (``name`` or ``name:port``) that may resolve to private addresses; none by default."""


class BrowserConfig(Message):
    """How a session's browser is found, launched and driven."""

    executable: str = "auto"
    """A path, or ``auto``: installed headless shell, installed Chromium, then Playwright's own."""
    web_url: str = "https://web.whatsapp.com/"
    bundle_path: Path | None = None
    """wa-js bundle; none: the one that ``make setup`` or the wheel put beside ``actors.browser``."""
    sandbox: bool = False
    """Chromium's own sandbox; it cannot run as root nor in most containers."""
    extra_args: tuple[str, ...] = Field(default=(), strict=False)
    launch_timeout_s: float = Field(default=20.0, gt=0)
    call_timeout_s: float = Field(default=10.0, gt=0)
    """Deadline of a short call into the page."""
    close_timeout_s: float = Field(default=3.0, gt=0)
    """After it the process tree is killed."""
    qr_ttl_s: float = Field(default=20.0, gt=0)
    """How long WhatsApp shows one QR (the first one 60 s on the real page); for ``expires_at``."""
    code_ttl_s: float = Field(default=180.0, gt=0)
    media: MediaConfig = MediaConfig()


class ProfileConfig(Message):
    """When a session's profile is copied, and how much of it."""

    max_bytes: int = Field(default=512 * 2**20, ge=1)
    """Of a profile without its caches; a larger one is not copied."""
    first_copy_after_s: float = Field(default=3.0, gt=0)
    """In READY, until the first snapshot of a running browser."""
    copy_every_s: float = Field(default=900.0, gt=0)
    """In READY, between snapshots of a running browser."""
    quiet_s: float = Field(default=0.25, ge=0)
    """For how long a running browser must not have written before it is copied."""
    copy_retry_s: float = Field(default=2.0, gt=0)
    """Between tries to meet a running browser in a quiet moment."""
    copy_timeout_s: float = Field(default=60.0, gt=0)
    """How long meeting a quiet moment and storing a snapshot may take while the session is ready."""
    stop_copy_timeout_s: float = Field(default=6.0, gt=0)
    """How long the last snapshot may hold up the end of a session."""
    restore_timeout_s: float = Field(default=120.0, gt=0)
    """How long bringing and opening one snapshot may take; ``starting_timeout_s`` begins after it."""


class RetryConfig(Message):
    """Reconnect policy: exponential with jitter, and an end."""

    max_attempts: int = Field(default=5, ge=1)
    first_delay_s: float = Field(default=1.0, gt=0)
    max_delay_s: float = Field(default=30.0, gt=0)
    jitter: float = Field(default=0.1, ge=0, le=1)
    """Each delay is spread by up to this fraction, downwards and upwards."""
    stable_after_s: float = Field(default=300.0, gt=0)
    """After so long in READY the attempts are full again."""


class HearingConfig(Message):
    """When a page that answers counts as deaf (``actors.core.hearing``)."""

    quiet_after_s: float = Field(default=25.0, ge=0)
    """After so long without any traffic a probe asks WhatsApp's server something; the real client pings by itself."""
    answer_timeout_s: float = Field(default=5.0, gt=0)
    """How long the server may take; shorter than ``probe_timeout_s``."""
    max_silences: int = Field(default=2, ge=1)
    """Questions in a row without an answer that make a page deaf."""
    recheck_after_s: float = Field(default=5.0, gt=0)
    """When the next probe follows a question without an answer."""
    unheard_pushes: int = Field(default=3, ge=1)
    """Frames that nothing in the page took in …"""
    unheard_after_s: float = Field(default=60.0, ge=0)
    """… for so long, which make a page deaf,"""
    doubt_pause_s: float = Field(default=600.0, gt=0)
    """but no more often than this: longer than ``RetryConfig.stable_after_s``, so that a false alarm costs no attempt
    in the end."""


class MemoryConfig(Message):
    """The memory budget of one session: worker, Playwright's driver and Chromium, in PSS (measured on Linux)."""

    budget_mib: int = Field(default=900, ge=0)
    """Above it the browser is closed and opened again once no send is in flight; 0: no budget. On the simulator's page
    a session needs some 200 MiB; others publish 250-500 MiB for the browser on the real one."""
    weigh_every_s: float = Field(default=60.0, gt=0)
    min_interval_s: float = Field(default=3_600.0, gt=0)
    """Two recycles of a session are at least so far apart."""


class SessionConfig(Message):
    """Deadlines and bounds of one session."""

    sessions_path: Path = Path(".wafleet/sessions")
    browser: BrowserConfig = BrowserConfig()
    retry: RetryConfig = RetryConfig()
    profile: ProfileConfig = ProfileConfig()
    hearing: HearingConfig = HearingConfig()
    memory: MemoryConfig = MemoryConfig()
    starting_timeout_s: float = Field(default=45.0, gt=0)
    pairing_timeout_s: float = Field(default=300.0, gt=0)
    syncing_timeout_s: float = Field(default=120.0, gt=0)
    action_timeout_s: float = Field(default=900.0, gt=0)
    reconnect_timeout_s: float = Field(default=30.0, gt=0)
    """How long one reconnect attempt may take until READY."""
    draining_timeout_s: float = Field(default=20.0, gt=0)
    offline_grace_s: float = Field(default=5.0, gt=0)
    """A lost socket that comes back by itself within this time is not an attempt."""
    send_timeout_s: float = Field(default=30.0, gt=0)
    media_send_timeout_s: float = Field(default=120.0, gt=0)
    max_send_attempts: int = Field(default=5, ge=1)
    probe_every_s: float = Field(default=30.0, gt=0)
    probe_timeout_s: float = Field(default=10.0, gt=0)
    poll_log_every_s: float = Field(default=30.0, gt=0)
    window_per_lane: int = Field(default=64, ge=1)
    """Jobs of one lane held in memory; the rest stays in the log."""
    event_outbox: int = Field(default=10_000, ge=1)


class SupervisorConfig(Message):
    """How the fleet is kept as desired."""

    reconcile_every_s: float = Field(default=2.0, gt=0)
    max_concurrent_starts: int = Field(default=2, ge=1)
    """Sessions in STARTING at once per node with a browser: a start costs about 0.6 s of CPU."""
    start_spacing_s: float = Field(default=0.25, ge=0)
    heartbeat_every_s: float = Field(default=5.0, gt=0)
    max_missed_heartbeats: int = Field(default=3, ge=1)
    no_capacity_after_s: float = Field(default=60.0, gt=0)
    session_max_restarts: int = Field(default=5, ge=1)
    session_max_seconds: float = Field(default=300.0, gt=0)
    fleet_max_restarts: int = Field(default=200, ge=1)
    fleet_max_seconds: float = Field(default=300.0, gt=0)
    restart_first_delay_s: float = Field(default=1.0, gt=0)
    restart_max_delay_s: float = Field(default=30.0, gt=0)


class LeaseConfig(Message):
    """Times of a session's lease (DESIGN 7 "Lease"); T0 is just before the last good renewal was sent."""

    ttl_s: float = Field(default=15.0, gt=0)
    renew_every_s: float = Field(default=2.0, gt=0)
    """NATS may be away for ``send_until_s`` less this before browsers close (5,000 sessions: 2,500 writes/s)."""
    send_until_s: float = Field(default=8.0, gt=0)
    """No send begins after T0 plus this; the browser is closed then."""
    kill_after_s: float = Field(default=11.0, gt=0)
    """The browser's tree is killed at T0 plus this."""
    fuse_s: float = Field(default=12.0, gt=0)
    """The page ends by itself at T0 plus this, also where its owner is frozen."""


class QueueConfig(Message):
    """Bounds of the job log."""

    max_waiting_per_lane: int = Field(default=10_000, ge=1)
    default_expiry_s: float = Field(default=7 * 86_400.0, gt=0)
    max_expiry_s: float = Field(default=30 * 86_400.0, gt=0)
    """How far ahead ``expires_at`` may lie. Bounded, since the record of a job has to outlive it."""
    direct_expiry_s: float = Field(default=30.0, gt=0)
    record_ttl_s: float = Field(default=3 * 86_400.0, ge=86_400)
    """How long the record of a job with an outcome is kept; an open one for ``max_expiry_s`` more.

    At least a day: a job older than ``core.attempts.RECORDED_WITHIN`` without a record is taken for one that had its
    outcome, so no record may go before that.
    """
    inbox_ack_wait_s: float = Field(default=10.0, ge=1)
    """After it a command of the inbox, whose gateway was lost, is handed to another one."""


class StoreConfig(Message):
    """Room of the streams and buckets on the NATS server. What is larger there already stays as it is."""

    replicas: int = Field(default=1, ge=1, le=5)
    """Of each stream; more than one needs a NATS cluster."""
    jobs_max_bytes: int = Field(default=4 * 2**30, ge=2**20)
    """Waiting jobs; past it sends are refused as ``unavailable``."""
    records_max_bytes: int = Field(default=3 * 2**30, ge=2**20)
    """What became of each job, some 1 KiB for ``QueueConfig.record_ttl_s``: a million jobs a day. Past it as above.

    Open records are kept longer, but they are no more than the jobs in ``jobs_max_bytes``.
    """
    events_max_bytes: int = Field(default=2 * 2**30, ge=2**20)
    """Past it the oldest events go."""
    inbox_max_bytes: int = Field(default=256 * 2**20, ge=2**20)
    """Sends that wait for a gateway."""
    snapshots_max_bytes: int = Field(default=4 * 2**30, ge=2**20)
    """Two profile snapshots a session; past it none is taken."""
    retired_snapshots_max_bytes: int = Field(default=512 * 2**20, ge=2**20)
    """Snapshots of ended logins, which lie there for 7 days; what finds no room is deleted at once."""
    bucket_max_bytes: int = Field(default=64 * 2**20, ge=2**20)
    """Of each bucket that holds one entry a session: desired state, status, lease, epoch, profile head."""
