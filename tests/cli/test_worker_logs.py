"""What sessions log, out of Ray's files."""

from pathlib import Path

from gateway.up.worker_logs import WorkerLogs


def test_lines_are_taken_once_and_whole_and_an_endless_one_does_not_stop_them(tmp_path: Path) -> None:
    folder = tmp_path / "session_latest" / "logs"
    folder.mkdir(parents=True)
    written = folder / "worker-1.err"
    seen: list[str] = []
    logs = WorkerLogs(tmp_path, tmp_path / "sessions.log", seen.append)
    written.write_text(":job_id:1\none\ntw")
    logs.collect()
    assert seen == ["one"]
    written.write_text(":job_id:1\none\ntwo\n" + "x" * 2**20)
    logs.collect()
    written.write_text(written.read_text() + "x\nafter\n")
    for _ in range(3):
        logs.collect()
    assert seen[1] == "two"
    assert seen[-1] == "after"
    assert (tmp_path / "sessions.log").read_text().count("after") == 1
