"""Which browser is launched, with which flags, and what is injected into it."""

from pathlib import Path

import pytest

from actors.browser import finding
from actors.browser.flags import PLAYWRIGHT_DISABLED_FEATURES, launch_args, user_agent
from actors.browser.injection import REQUIRED_NAMES, init_script
from actors.browser.launching import proxy_settings
from actors.errors import BrowserLaunchFailed


def program(path: Path, text: str = "\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any browser; tests add some under its folder."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(finding, "_LIBRARY_FOLDERS", (tmp_path / "lib",))
    monkeypatch.setattr(finding, "_PLAYWRIGHT_FOLDERS", (tmp_path / "playwright",))
    monkeypatch.delenv("PLAYWRIGHT_BROWSERS_PATH", raising=False)
    return tmp_path


def test_the_headless_shell_is_preferred_and_its_wrapper_avoided(machine: Path) -> None:
    with pytest.raises(BrowserLaunchFailed, match="WAFLEET_BROWSER"):
        finding.find_browser()
    own = program(machine / "playwright/chromium_headless_shell-1/chrome-linux/headless_shell")
    assert finding.find_browser() == own
    full = program(machine / "bin/chromium")
    assert finding.find_browser() == full
    program(machine / "bin/chromium-headless-shell", "#!/bin/sh\n")
    behind = program(machine / "lib/chromium-headless-shell")
    assert finding.find_browser() == behind
    assert finding.find_browser(str(machine / "bin/chromium-headless-shell")) == behind
    assert finding.find_browser(str(full)) == full
    assert finding.is_headless_shell(behind)
    assert not finding.is_headless_shell(full)


def test_playwrights_browser_is_found_where_playwright_was_told_to_install_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = program(machine / "playwright/chromium_headless_shell-2/chrome-linux64/chrome-headless-shell")
    assert finding.find_browser() == usual
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(machine / "elsewhere"))
    with pytest.raises(BrowserLaunchFailed, match="no Chromium was found"):
        finding.find_browser()
    told = program(machine / "elsewhere/chromium_headless_shell-2/chrome-linux/headless_shell")
    assert finding.find_browser() == told
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", "0")
    import playwright  # noqa: PLC0415 - where it is, not what it does

    assert finding._playwright_folders() == (Path(playwright.__file__).parent / "driver/package/.local-browsers",)
    assert (finding._playwright_folders()[0].parent / "package.json").is_file()


def test_a_wrapper_without_its_program_is_taken_as_it_is(machine: Path) -> None:
    wrapper = program(machine / "bin/chromium", "#!/bin/sh\n")
    assert finding.find_browser() == wrapper


async def test_a_browser_tells_its_version_once(machine: Path) -> None:
    asked = machine / "asked"
    browser = program(machine / "bin/versioned", f"#!/bin/sh\necho x >> {asked}\necho 'Chromium 156.0.8078.79'\n")
    assert [await finding.major_version(browser), await finding.major_version(browser)] == [156, 156]
    assert asked.read_text() == "x\n"


@pytest.mark.parametrize("text", ["#!/bin/sh\necho no version\n", "not executable content"])
async def test_what_is_no_browser_is_said(machine: Path, text: str) -> None:
    with pytest.raises(BrowserLaunchFailed, match="install one"):
        await finding.major_version(program(machine / "bin/other", text))


def test_flags_keep_playwrights_own_and_let_settings_win() -> None:
    shell = launch_args(Path("/x/chromium-headless-shell"), major_version=156, extra=("--window-size=1,1",))
    assert shell[-1] == "--window-size=1,1"
    assert "--no-zygote" in shell
    assert "--no-zygote" not in launch_args(Path("/x/chromium"), major_version=156)
    [disabled] = [flag for flag in shell if flag.startswith("--disable-features=")]
    assert set(PLAYWRIGHT_DISABLED_FEATURES) < set(disabled.partition("=")[2].split(","))
    assert "Headless" not in user_agent(156)


def test_playwrights_own_features_are_the_ones_we_repeat() -> None:
    import playwright  # noqa: PLC0415 - the package is read, not used

    source = (Path(playwright.__file__).parent / "driver/package/lib/coreBundle.js").read_text(encoding="utf-8")
    begin = source.index("disabledFeatures = [\n")
    listed = source[begin : source.index("].filter", begin)]
    names = [line.strip().strip('",') for line in listed.splitlines() if line.strip().startswith('"')]
    ours = [name for name in names if not name.startswith("ms") and not name.endswith("Win")]
    assert tuple(ours) == PLAYWRIGHT_DISABLED_FEATURES


def test_the_bundle_runs_between_its_settings_and_the_bridge(tmp_path: Path) -> None:
    bundle = tmp_path / "wa.js"
    bundle.write_text("/* the bundle */")
    script = init_script(bundle)
    order = [script.index(part) for part in ("window === window.top", "WPPConfig", "/* the bundle */", "__wafleet'")]
    assert order == sorted(order)
    used = {name.removeprefix("WPP.") for name in REQUIRED_NAMES}
    assert {"chat.sendTextMessage", "conn.isRegistered", "whatsapp.functions.queryWidExists"} <= used
    with pytest.raises(BrowserLaunchFailed, match="make setup"):
        init_script(tmp_path / "none.js")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://10.0.0.1:3128", {"server": "http://10.0.0.1:3128"}),
        ("socks5://proxy.test", {"server": "socks5://proxy.test"}),
        ("http://[::1]:8080", {"server": "http://[::1]:8080"}),
        ("http://me:p%40ss@h:1", {"server": "http://h:1", "username": "me", "password": "p@ss"}),
    ],
)
def test_a_proxy_is_split_into_server_and_secret(address: str, expected: dict[str, str]) -> None:
    assert proxy_settings(address) == expected
