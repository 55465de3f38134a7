"""Tests of the gateway on a real nats-server."""
