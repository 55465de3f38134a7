from tests.simulator.npm_peers import node_is_there
from tests.support.simulator import phone, simulator

__all__ = ["phone", "simulator"]

# Without Node there is nothing to test: no test is collected, none is skipped.
collect_ignore = [] if node_is_there() else ["test_npm_peers.py"]
