"""Ray: the one module that imports it. Session actors, the supervisor actor, and how a gateway reaches both.

Everything here is a wrapper without decisions: what to start, restart or give up is ``actors.supervisor``'s. What runs
inside the actors lies above this module and is handed in by the composition root (``actors.processes`` sets it going).

Ray is the control plane only (about 1.4 ms a call). Its errors are translated here: calls raise ``Unavailable``, a
lost actor becomes ``Died``. Every call has a deadline of its own, since Ray tells of a lost node late.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import psutil
import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.clock import SystemClock
from actors.errors import Unavailable, WafleetError
from actors.messages.commands import Command
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, Reply
from actors.ports import Clock, Died, Ended, Heartbeat, PortsFactory, SessionHandle, SessionSpec, actor_name
from actors.processes import SessionBody, SessionProcess, SupervisorBody, SupervisorProcess

T = TypeVar("T")
NAMESPACE: Final = "wafleet"
SUPERVISOR: Final = "supervisor"
BROWSER_RESOURCE: Final = "browser"
"""A node offers as many of it as it may hold sessions: ``ray start --resources '{"browser": 40}'``."""
_HEAD_NODE: Final = "node:__internal_head__"
"""A resource that Ray gives to the head alone."""
_GCS_TIMEOUT_S: Final = 15.0
"""The first creation exports the actor's class as well: 1 s on a quiet machine."""
_LAST_BREATH_S: Final = 6.0
"""Ray forces the end of a killed worker that does not react after 5 s (seen with a SIGSTOPped one: 5.02 s)."""
_KILL_OURSELVES_AFTER_S: Final = 0.5
"""A worker that reacts is gone by then. Ray (2.60) was seen to leave a SIGSTOPped one with a browser alone for good."""
_WORKER_TITLE: Final = "ray::"
"""What the command line of every worker begins with."""
_POLL_S: Final = 0.05
_LOOK_AGAIN_S: Final = 1.0
"""Between looks at an actor that stays out of reach: the GCS is asked by every session of a lost node."""
_REACH_TIMEOUT_S: Final = 3.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_log = logging.getLogger("wafleet.cluster")


def _key_of(name: str) -> SessionKey | None:
    """Read a name that ``actor_name`` made; None for that of anything else."""
    _, *ids = name.split(":")
    key = SessionKey(*ids) if len(ids) == len(SessionKey._fields) else None
    return key if key and actor_name(key) == name else None


class RaySession:
    """A session actor, seen from outside (``SessionHandle``)."""

    def __init__(self, key: SessionKey, actor: Any, clock: Clock) -> None:
        self._key = key
        self._actor = actor
        self._clock = clock

    async def heartbeat(self, timeout_s: float) -> Heartbeat | None:
        """Ask for a sign of life; None if none came in time."""
        try:
            return await _answer(self._actor.heartbeat.remote(), timeout_s)
        except Unavailable:
            return None

    async def ask(self, command: Command, timeout_s: float) -> Reply | ErrorBody:
        """Put a command to the session. Raises ``Unavailable`` if it does not answer in time or is gone."""
        return await _answer(self._actor.ask.remote(command), timeout_s)

    async def drain(self, timeout_s: float) -> None:
        """Let it finish what is in flight and end. Raises ``Unavailable`` if it has not in time or is gone."""
        await _answer(self._actor.drain.remote(), timeout_s)

    async def wait_ended(self) -> Ended | Died:
        """Wait for the end of the session, and then for that of its process: only then may a new one be made."""
        ended = await self._fate()
        try:
            await self._end_process(_LAST_BREATH_S, obeys=isinstance(ended, Ended))
        except Unavailable as error:
            # The next create finds the old actor by its name, or has no slot: nothing starts beside it.
            _log.warning("[Session:%s] %s", self._key, error)
        return ended

    async def kill(self, timeout_s: float) -> None:
        """Kill the process and wait until its pid is gone. Raises ``Unavailable`` if it is still there."""
        await self._end_process(timeout_s, obeys=False)

    async def _end_process(self, timeout_s: float, *, obeys: bool) -> None:
        """Have the process killed. Of one that has closed everything and ``obeys``, only its own node sees the end."""
        deadline = self._clock.monotonic() + timeout_s
        known = await _in_thread(ray._private.state.actors, self._actor._actor_id.hex())  # noqa: SLF001
        # The state API of `ray.util` needs the dashboard; this accessor asks the GCS itself.
        await _in_thread(partial(ray.kill, self._actor, no_restart=True))
        pid, node = int(known.get("Pid") or 0), str((known.get("Address") or {}).get("NodeID"))
        if pid and node == ray.get_runtime_context().get_node_id():
            await self._see_it_gone(pid, deadline, force=known.get("State") != "DEAD")
        elif pid and known.get("State") != "DEAD" and obeys:
            # Its name is free then; on another node it can be in nobody's way.
            while await _in_thread(self._state) != "DEAD" and self._clock.monotonic() < deadline:
                await self._clock.sleep(_POLL_S)
        elif pid and known.get("State") != "DEAD":
            there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
            task: Any = ray.remote(_end_worker).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            await _answer(task.remote(pid), timeout_s)

    def _state(self) -> str | None:
        state: str | None = ray._private.state.actors(self._actor._actor_id.hex()).get("State")  # noqa: SLF001
        return state

    async def _see_it_gone(self, pid: int, deadline: float, *, force: bool) -> None:
        """Wait for the end of a process; one that was alive just now is killed if it does not end by itself."""
        force_at = self._clock.monotonic() + _KILL_OURSELVES_AFTER_S
        try:
            process = psutil.Process(pid)
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                if self._clock.monotonic() >= deadline:
                    raise Unavailable(
                        f"process {pid} of {actor_name(self._key)} is still there after ray.kill; kill it by hand",
                        {"pid": pid},
                    )
                if force and self._clock.monotonic() >= force_at and _is_worker(process):
                    process.kill()
                await self._clock.sleep(_POLL_S)
        except psutil.NoSuchProcess:
            return

    async def _fate(self) -> Ended | Died:
        wait_s = _POLL_S
        while True:
            try:
                ended: Ended = await self._actor.wait_ended.remote()
            except ActorUnavailableError as error:
                if await self._is_gone():
                    return Died(_first_line(error))
                await self._clock.sleep(wait_s)
                wait_s = min(2 * wait_s, _LOOK_AGAIN_S)
            except RayError as error:
                return Died(_first_line(error))
            else:
                return ended

    async def _is_gone(self) -> bool:
        """Tell whether an actor that cannot be reached has died: maybe only the connection to it is down."""
        try:
            return await _named(actor_name(self._key)) is None
        except Unavailable as error:
            # Who cannot say that it lives cannot say that it died; a hung one is found by its heartbeats.
            _log.warning("[Session:%s] nobody says whether it lives: %s", self._key, error)
            return False


@dataclass(frozen=True)
class RaySessionHost:
    """Where session actors live (``SessionHost``). Small and picklable: it travels into the supervisor actor.

    Attributes:
        session_class: Builds a session's body from its spec and the ports.
        factory: Connects the ports inside the session's process.
        create_timeout_s: How long a new process may take to answer for the first time.
    """

    session_class: Callable[[SessionSpec, PortsFactory], SessionBody]
    factory: PortsFactory
    create_timeout_s: float = 30.0
    clock: Clock = field(default_factory=SystemClock)

    async def create(self, spec: SessionSpec) -> SessionHandle | None:
        """Create the actor and let it run; None if no node has a free ``browser`` slot right now."""
        found = await self.find(spec.key)
        if found is not None:
            return found
        if await self._free_slots() < 1:
            return None
        options = ray.remote(SessionProcess).options(
            name=actor_name(spec.key),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=0,
            max_task_retries=0,
            num_cpus=0,
            resources={BROWSER_RESOURCE: 1},
            scheduling_strategy="SPREAD",  # a lost node takes as few sessions with it as can be
        )
        actor: Any = await _in_thread(options.remote, partial(self.session_class, spec, self.factory))
        handle = RaySession(spec.key, actor, self.clock)
        if await handle.heartbeat(self.create_timeout_s) is None:
            await handle.kill(_LAST_BREATH_S)
            raise Unavailable(
                f"{actor_name(spec.key)} did not answer within {self.create_timeout_s:g} s of its creation; "
                "see the actor's log in the Ray dashboard",
                {"session_id": spec.key.session_id},
            )
        return handle

    async def find(self, key: SessionKey) -> SessionHandle | None:
        """Look a living actor up by its name."""
        actor = await _named(actor_name(key))
        return None if actor is None else RaySession(key, actor, self.clock)

    async def living(self) -> Sequence[SessionKey]:
        """List all living session actors."""
        names = [
            actor["name"]
            for actor in await _in_thread(partial(ray.util.list_named_actors, all_namespaces=True))
            if actor["namespace"] == NAMESPACE
        ]
        return [key for name in names if (key := _key_of(name)) is not None]

    async def nodes(self) -> int:
        """Count the nodes that take sessions: they live, offer ``browser`` slots and are not being drained."""
        draining = await _draining()
        return sum(
            1
            for node in await _in_thread(ray.nodes)
            if node["Alive"] and node["NodeID"] not in draining and node["Resources"].get(BROWSER_RESOURCE, 0) >= 1
        )

    async def leaving(self) -> frozenset[SessionKey]:
        """Name the sessions on nodes that are being drained."""
        draining = await _draining()
        if not draining:
            return frozenset()
        # The one state accessor that says where an actor is without the dashboard.
        table = partial(ray._private.state.state.actor_table, None, actor_state_name="ALIVE")  # noqa: SLF001
        there = (actor for actor in (await _in_thread(table)).values() if actor["Address"]["NodeID"] in draining)
        return frozenset(key for actor in there if (key := _key_of(actor["Name"])) is not None)

    async def request_slots(self, wanted: int) -> None:
        """Tell the autoscaler how many slots the fleet needs in all; without one it is only noted."""
        await _in_thread(partial(request_resources, bundles=[{BROWSER_RESOURCE: 1}] * wanted))

    async def _free_slots(self) -> float:
        draining = await _draining()
        nodes = await _in_thread(ray._private.state.available_resources_per_node)  # noqa: SLF001
        return sum(float(free.get(BROWSER_RESOURCE, 0)) for node, free in nodes.items() if node not in draining)


@dataclass(frozen=True)
class RayControlPlane:
    """How a gateway, or any driver, reaches the supervisor and the sessions (``ControlPlane``)."""

    clock: Clock = field(default_factory=SystemClock)

    async def ask_supervisor(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody:
        """Put start, stop, restart, logout, pause or resume to the supervisor. Raises ``Unavailable``."""
        return await _answer((await _supervisor()).ask.remote(key, command), timeout_s)

    async def ask_session(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody | None:
        """Put a command to a session; None if it has no actor. Raises ``Unavailable``."""
        actor = await _named(actor_name(key))
        return None if actor is None else await _answer(actor.ask.remote(command), timeout_s)

    async def observe(self, timeout_s: float) -> object:
        """Ask the supervisor where every session is (a ``FleetView``). Raises ``Unavailable``."""
        return await _answer((await _supervisor()).observe.remote(), timeout_s)

    async def deploy_supervisor(self, build: Callable[[], SupervisorBody], timeout_s: float = 60.0) -> Heartbeat:
        """Get or create the supervisor, which Ray restarts for ever.

        Args:
            build: Makes the supervisor inside the actor; picklable. Ignored where one runs already.
            timeout_s: How long it may take to answer.

        Returns:
            The supervisor's sign of life.

        Raises:
            Unavailable: It did not come up in time.
        """
        options = ray.remote(SupervisorProcess).options(
            name=SUPERVISOR,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
            # Beside the GCS, without which it can do nothing: it outlives every other node.
            resources={_HEAD_NODE: 0.001},
        )
        actor: Any = await _in_thread(options.remote, build)
        return await _answer(actor.heartbeat.remote(), timeout_s)

    async def stop_supervisor(self, *, drain: bool, timeout_s: float) -> None:
        """Stop the supervisor for good, with ``drain`` after all sessions have ended in order."""
        actor = await _named(SUPERVISOR)
        if actor is None:
            return
        try:
            await _answer(actor.stop.remote(drain=drain), timeout_s)
        finally:
            await _in_thread(partial(ray.kill, actor, no_restart=True))


async def connect(address: str, timeout_s: float = 60.0) -> RayControlPlane:
    """Join a running Ray cluster as a driver.

    Args:
        address: ``host:port`` of the cluster's GCS, or ``auto`` for the one that was started on this machine.
        timeout_s: How long it may take.

    Raises:
        Unavailable: No cluster answered there.
    """
    # Ray's default differs between `ray start --head` and drivers, so it is always said (DESIGN 7 "Ray facts").
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.to_thread(_join, address)
    except (TimeoutError, OSError, ValueError, RayError, RuntimeError) as error:
        raise Unavailable(
            f"no Ray cluster answers at {address}: {_first_line(error)}; check RAY_ADDRESS, or leave it out to let "
            "`wafleet up` start one",
            {"address": address},
        ) from error
    return RayControlPlane()


def _join(address: str) -> None:
    """Attach this process. Ray itself would try for minutes where nothing listens, so that is found out before."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"expected host:port or auto, got {address!r}")
        _prepare_for(host, int(port))
    # Not WARNING: it would complain that it cannot handle SIGTERM from a thread, which is just as wanted.
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)


def _prepare_for(host: str, port: int) -> None:
    socket.create_connection((host, port), _REACH_TIMEOUT_S).close()
    own_address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if host in _LOOPBACK and not _reaches(own_address, port):
        # Ray 2.60 replaces a loopback address by the machine's own, where a head that keeps to the loopback interface
        # (RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0) does not listen; services.get_node_ip_address reads this constant.
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # noqa: SLF001


def _reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _REACH_TIMEOUT_S).close()
    except OSError:
        return False
    return True


async def disconnect() -> None:
    """Leave the cluster; detached actors live on."""
    await asyncio.to_thread(ray.shutdown)


async def _named(name: str) -> Any | None:
    try:
        return await _in_thread(partial(ray.get_actor, name, namespace=NAMESPACE))
    except ValueError:
        return None


async def _draining() -> frozenset[str]:
    """Ids of the nodes that are about to end in order: `ray start --block` got SIGTERM, or somebody drains them."""
    return frozenset(await _in_thread(ray._private.state.state.get_draining_nodes))  # noqa: SLF001


async def _supervisor() -> Any:
    actor = await _named(SUPERVISOR)
    if actor is None:
        raise Unavailable("no supervisor runs on this Ray cluster; start a gateway with `wafleet up`")
    return actor


async def _answer(call: Awaitable[T], timeout_s: float) -> T:
    """Await an actor's answer; its own refusals are raised as they are, anything of Ray's as ``Unavailable``."""
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except TimeoutError as error:
        raise Unavailable(f"no answer within {timeout_s:g} s; try again") from error
    except RayTaskError as error:
        if isinstance(error.cause, WafleetError):
            raise error.cause from error
        raise Unavailable(f"the actor failed: {_first_line(error.cause)}") from error
    except RayError as error:
        raise Unavailable(f"the actor is not there: {_first_line(error)}") from error


async def _in_thread(call: Callable[..., T], *args: Any) -> T:
    """Make a blocking call to Ray's GCS with a deadline; the event loop goes on."""
    try:
        async with asyncio.timeout(_GCS_TIMEOUT_S):
            return await asyncio.to_thread(call, *args)
    except TimeoutError as error:
        raise Unavailable(f"Ray's GCS did not answer within {_GCS_TIMEOUT_S:g} s; is the head node up?") from error
    except RayError as error:
        raise Unavailable(f"Ray's GCS answered: {_first_line(error)}") from error


def _end_worker(pid: int) -> None:
    """Kill a worker of the node that this task runs on, and see it gone."""
    try:
        process = psutil.Process(pid)
        if _is_worker(process):
            process.kill()
            process.wait(_LAST_BREATH_S)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise Unavailable(f"worker {pid} is still there after SIGKILL; end it by hand", {"pid": pid}) from error


def _is_worker(process: psutil.Process) -> bool:
    return any(word.startswith(_WORKER_TITLE) for word in process.cmdline()[:1])


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
