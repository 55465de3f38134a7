"""``wafleet doctor``: is everything there and well, and if not, how to mend it."""

import asyncio
from collections.abc import Sequence

from rich.markup import escape

from gateway.cli.checks import Finding, examine
from gateway.cli.exits import Exit, exit_codes
from gateway.cli.options import JsonOption, NatsOption, StateOption, settings_with
from gateway.cli.output import Output, coloured
from gateway.up.state import find_located


def doctor(*, nats_url: NatsOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Check browser, wa-js, disk, memory, NATS with JetStream, Ray and the gateway; ends with 1 if something is red."""
    output = Output(as_json=as_json)
    with exit_codes(output):
        settings = settings_with(nats_url=nats_url, state=state)
        findings = asyncio.run(examine(settings, find_located(settings.wafleet_dir)))
        if as_json:
            checks = [{"part": f.part, "verdict": f.verdict, "found": f.found, "mend": f.mend} for f in findings]
            output.json({"healthy": _healthy(findings), "checks": checks})
        else:
            output.table("", "", "", rows=[_row(finding) for finding in findings])
        if not _healthy(findings):
            raise SystemExit(Exit.FAILED)


def _healthy(findings: Sequence[Finding]) -> bool:
    return all(finding.verdict != "red" for finding in findings)


def _row(finding: Finding) -> tuple[str, str, str]:
    mend = f"\n[bold]→ {escape(finding.mend)}[/bold]" if finding.mend else ""
    return coloured(finding.verdict), finding.part, escape(finding.found) + mend
