"""The words wafleet speaks: frozen models of every command, reply, job, record and event."""
