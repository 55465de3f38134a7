"""How much memory a piece of work takes, by Python's own count."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


class Peak:
    """The most that was allocated at once within a block; known after it."""

    allocated_bytes: int


@contextmanager
def peak() -> Iterator[Peak]:
    """Count what is allocated within a block, by every thread."""
    measured = Peak()
    tracemalloc.start()
    try:
        yield measured
        measured.allocated_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
