import asyncio
import sys

from actors.browser import footprint

MIB = 2**20
_HOLDS_64_MIB = "import sys; held = bytearray(b'x' * (64 << 20)); print('ready', flush=True); sys.stdin.read()"


async def test_a_process_weighs_itself_and_everything_below_it() -> None:
    alone = await footprint.of_this_process()
    assert alone is not None
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDS_64_MIB, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout
    await child.stdout.readline()
    together = await footprint.of_this_process()
    assert together is not None
    assert 60 * MIB < together - alone < 120 * MIB
    await child.communicate(b"")
    assert footprint.of_tree(child.pid) is None, "a process that is gone weighs nothing that could be told"
