"""The parts of a run, each of which may be killed: nats-server, Ray, two gateways. And the simulator, which lives on.

Started one by one rather than by `wafleet up`, so that each can stay away for as long as a plan says. All but the
simulator carry a mark in their environment, by which every process that descends from them is found.
"""

import asyncio
import json
import shutil
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from actors.clock import SystemClock
from actors.config import SessionConfig
from gateway.up.ray_head import DRIVER_ENVIRONMENT
from tests.chaos.plan import Scale
from tests.support.leftovers import Run
from tests.support.nats import NatsServer
from tests.support.processes import Program
from tests.support.ray import RayHead

_ROOT: Final = Path(__file__).resolve().parents[2]
_GATEWAYS: Final = 2
_GATEWAY_READY: Final = "wafleet gateway ready"
_GATEWAY_START_S: Final = 90.0
_RUN_S: Final = 3_600.0
"""Longer than any run."""
_SIMULATOR_START_S: Final = 30.0
_RESTART_PAUSE_S: Final = 0.5
_RETRY: Final = {"stable_after_s": 10}
"""Chaos packs the mishaps of weeks into minutes; what gives up after several in a row shall count them by minutes."""
_SUPERVISOR: Final = {"session_max_seconds": 30}
"""As above."""


class Stack:
    """Everything that a run needs; `async with` starts it and leaves no process behind."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        """Prepare the parts.

        Args:
            folder: where data, profiles and logs lie.
            scale: how many browsers may run, and how long a send waits for its ack.
        """
        self.folder: Final = folder
        self.run: Final = Run()
        self.nats: Final = NatsServer(_made(folder / "nats"))
        self.simulator_url = ""
        self._slots: Final = scale.tenants * scale.sessions
        self._session_limits: Final[dict[str, object]] = {"retry": _RETRY}
        if scale.send_timeout_s is not None:
            self._session_limits.update(send_timeout_s=scale.send_timeout_s, media_send_timeout_s=scale.send_timeout_s)
        self._clock: Final = SystemClock()
        self._nats_changing: Final = asyncio.Lock()
        self._ray: RayHead | None = None
        self._gateways: list[asyncio.Task[None]] = []
        self._ready: Final = [asyncio.Event() for _ in range(_GATEWAYS)]
        self._pauses: Final = [_RESTART_PAUSE_S] * _GATEWAYS
        self._pids: Final[dict[int, int]] = {}
        self._exits: Final = AsyncExitStack()
        self._lives = 0

    async def __aenter__(self) -> Self:
        try:
            simulator = Program(sys.executable, "-m", "simulator", "--port", "0", "--json",
                                "--data", _made(self.folder / "simulator"), cwd=_ROOT)  # fmt: skip
            await self._exits.enter_async_context(simulator)
            await asyncio.gather(asyncio.to_thread(self.nats.start), self._start_ray())
            line = await simulator.line(r"^\{", within_s=_SIMULATOR_START_S)
            self.simulator_url = json.loads(line)["url"]
            await self._start_gateways()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    @property
    def session_config(self) -> SessionConfig:
        """What the sessions go by."""
        return SessionConfig.model_validate(self._session_limits)

    # --- faults -----------------------------------------------------------------------------------------------------

    async def restart_nats(self, away_s: float) -> bool:
        """Kill nats-server and start it again on the same data after a while."""
        async with self._nats_changing:
            await asyncio.to_thread(self.nats.kill)
            await self._clock.sleep(away_s)
            await asyncio.to_thread(self.nats.start)
        return True

    async def kill_gateway(self, number: int, away_s: float) -> bool:
        """Kill a gateway; it comes back after a while. Tells whether there was one."""
        pid = self._pids.get(number % _GATEWAYS)
        if pid is None:
            return False
        self._pauses[number % _GATEWAYS] = away_s
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
        return True

    async def reboot(self, away_s: float) -> bool:
        """Kill everything but the simulator at once, and start it again on the same data after a while."""
        async with self._nats_changing:
            for task in self._gateways:
                task.cancel()
            await asyncio.gather(*self._gateways, return_exceptions=True)
            await asyncio.to_thread(self._kill_all)
            await self._clock.sleep(away_s)
            await asyncio.gather(asyncio.to_thread(self.nats.start), self._start_ray())
            await self._start_gateways()
        return True

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _start_ray(self) -> None:
        head = RayHead(slots=self._slots, env=self.run.env)
        await asyncio.to_thread(head.__enter__)
        self._ray = head

    async def _start_gateways(self) -> None:
        for event in self._ready:
            event.clear()
        self._gateways = [asyncio.create_task(self._keep_gateway(number)) for number in range(_GATEWAYS)]
        waits = [asyncio.create_task(event.wait()) for event in self._ready]
        try:
            await asyncio.wait([*self._gateways, *waits], timeout=_GATEWAY_START_S, return_when=asyncio.FIRST_COMPLETED)
            if not any(event.is_set() for event in self._ready):
                raise AssertionError(f"no gateway came up within {_GATEWAY_START_S:g} s; see {self.folder / 'logs'}")
        finally:
            for wait in waits:
                wait.cancel()

    async def _keep_gateway(self, number: int) -> None:
        """Start a gateway, and again whenever it has ended, as a service manager does."""
        log = _made(self.folder / "logs") / f"gateway-{number}.log"
        while True:
            program = Program(sys.executable, "-m", "gateway.main", env=self._environment(), cwd=self.folder)
            await program.start()
            self._pids[number] = program.pid
            try:
                await program.line(_GATEWAY_READY, within_s=_GATEWAY_START_S)
                self._ready[number].set()
                await program.ended(within_s=_RUN_S)
            except (TimeoutError, AssertionError):
                await program.kill()  # it did not come up
            finally:
                self._pids.pop(number, None)
                if program.running:
                    await program.kill()
                with log.open("a") as file:
                    file.writelines(f"{line}\n" for line in program.lines)
            await self._clock.sleep(self._pauses[number])
            self._pauses[number] = _RESTART_PAUSE_S

    def _environment(self) -> dict[str, str]:
        if self._ray is None:
            raise AssertionError("Ray was not started")
        return {
            **self.run.env,
            **DRIVER_ENVIRONMENT,
            "WAFLEET_SESSION": json.dumps(self._session_limits),
            "WAFLEET_SUPERVISOR": json.dumps(_SUPERVISOR),
            "NATS_URL": self.nats.url,
            "RAY_ADDRESS": self._ray.address,
            "WHATSAPP_WEB_URL": self.simulator_url,
            "WHATSAPP_SESSION_PATH": str(self.folder / "sessions"),
            "WAFLEET_DIR": str(self.folder),
            "PYTHONPATH": str(_ROOT),
        }

    def _kill_all(self) -> None:
        self.nats.kill()
        self.run.kill_all()
        self._bury_ray()

    def _bury_ray(self) -> None:
        """Keep what actors had to say, then delete Ray's folder."""
        if self._ray is not None:
            self._lives += 1
            kept = _made(self.folder / "logs" / f"actors-{self._lives}")
            for log in self._ray.folder.glob("session_latest/logs/worker-*.err"):
                shutil.copy(log, kept)
            self._ray.__exit__(None, None, None)
            self._ray = None

    async def _end(self) -> None:
        for task in self._gateways:
            task.cancel()
        await asyncio.gather(*self._gateways, return_exceptions=True)
        try:
            await asyncio.to_thread(self._kill_all)
        finally:
            await self._exits.aclose()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
