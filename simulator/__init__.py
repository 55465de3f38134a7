"""A simulated WhatsApp: the page that the wa-js bundle runs on, the service behind it, a phone and people.

Tests, the demo and the benchmarks use it in the place of WhatsApp; production only changes the page's address. It is a
program of its own and imports neither `actors` nor `gateway`.
"""
