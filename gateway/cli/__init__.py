"""The command line ``wafleet``: thin commands over ``gateway.client``, ``gateway.up`` and ``simulator``."""
