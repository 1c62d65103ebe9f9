"""A small driver of Firefox by WebDriver BiDi: open, run a script, give files, take a picture.

Playwright drives a Firefox of its own, and Selenium needs geckodriver beside it; a Firefox as the
system has it speaks this protocol by itself, over one WebSocket (https://w3c.github.io/webdriver-bidi/).
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

_PREFERENCES = {
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.navigator.permission.disabled": True,  # nobody is there to be asked
    "media.navigator.streams.fake": True,  # the microphone is a tone
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """A browser with one page.

    Attributes:
        wrong: What the page reported as an error or a warning.
    """

    def __init__(self, link: ClientConnection) -> None:
        self.wrong: list[str] = []
        self._link = link
        self._numbers = itertools.count()
        self.version = self._ask("session.new", capabilities={})["capabilities"]["browserVersion"]
        self._ask("session.subscribe", events=["log.entryAdded"])
        self._page = self._ask("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, url: str) -> None:
        """Open an address and wait until everything has been loaded."""
        self._ask("browsingContext.navigate", context=self._page, url=url, wait="complete")

    def run(self, script: str) -> Any:
        """Return what an expression is in the end, as far as JSON can say it."""
        answer = self._ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify((await ({script})) ?? null))()",
            target={"context": self._page},
            awaitPromise=True,
            userActivation=True,
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    def until(self, script: str, limit_s: float = 20.0) -> Any:
        """Return what an expression is once that is something."""
        end = time.monotonic() + limit_s
        while (found := self.run(script)) in (None, False, ""):
            assert time.monotonic() < end, f"it never came true: {script}"
            time.sleep(0.05)
        return found

    def give(self, selector: str, *files: Path) -> None:
        """Choose files as a person would."""
        found = self._ask(
            "browsingContext.locateNodes",
            context=self._page,
            locator={"type": "css", "value": selector},
        )
        element = {"sharedId": found["nodes"][0]["sharedId"]}
        self._ask(
            "input.setFiles", context=self._page, element=element, files=[str(one) for one in files]
        )

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        shot = self._ask("browsingContext.captureScreenshot", context=self._page, origin="document")
        return base64.b64decode(shot["data"])

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._link.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._link.recv(timeout=60))
            if said.get("method") == "log.entryAdded":
                entry = said["params"]
                if entry["level"] in ("error", "warn"):
                    self.wrong.append(f"{entry['level']}: {entry['text']}")
            if said.get("id") == number:
                assert said["type"] == "success", said
                return dict(said["result"])


@contextmanager
def running(path: str, profile: Path, **preferences: Any) -> Iterator[Firefox]:
    """Run a Firefox without a window until the end of the block."""
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});"
        for name, value in (_PREFERENCES | preferences).items()
    ]
    (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
    options = ["--headless", "--no-remote", "--remote-debugging-port", "0", "--width", "1180"]
    process = subprocess.Popen(
        [path, *options, "--profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                break
        else:
            raise AssertionError("Firefox ended before it could be reached")
        with connect(f"{found[1]}/session", max_size=None) as link:
            yield Firefox(link)
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()
