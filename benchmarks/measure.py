"""Small measuring tools: percentiles, concurrent rounds, and the cost of processes as Linux counts it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import psutil

MIB = 2**20


def percentile(samples: list[float], fraction: float) -> float:
    """Return the sample below which ``fraction`` of all lie."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Round:
    """One round of calls."""

    latencies_s: list[float]
    took_s: float

    @property
    def p50_ms(self) -> float:
        """Median latency."""
        return percentile(self.latencies_s, 0.5) * 1_000

    @property
    def per_second(self) -> float:
        """Calls per second."""
        return len(self.latencies_s) / self.took_s


async def run_round(call: Callable[[int], Awaitable[object]], *, count: int, at_once: int) -> Round:
    """Make ``count`` calls, ``at_once`` of them under way at any time."""
    latencies: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            began = time.perf_counter()
            await call(number)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return Round(latencies, time.perf_counter() - began)


def pss_mib(pids: Iterable[int]) -> float:
    """Add up the proportional set size of processes: shared pages are split among those that share them."""
    return sum(psutil.Process(pid).memory_full_info().pss for pid in pids) / MIB


def cpu_seconds(pids: Iterable[int]) -> float:
    """Add up the CPU time that processes have used."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def kind_of(process: psutil.Process) -> str:
    """Name the part of a session that a process is."""
    text = " ".join(process.cmdline())
    if "chromium" in text or "chrome" in process.name():
        return "Chromium"
    return "driver" if "playwright" in text else "worker"
