"""`python -m simulator`: the same as `wafleet simulator`."""

from simulator.cli import main

main()
