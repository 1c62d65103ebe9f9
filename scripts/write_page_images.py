"""Take the pictures of docs/page.md: the page and the service, asked about the bundled clip.

python scripts/write_page_images.py    needs ".[browser]", ".[serve]" and a Chromium
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import ullim

OUT = Path(__file__).resolve().parent.parent / "docs" / "images"
COLOURS = 200
PHONE = (390, 844)


def main() -> None:
    """Start the service and a browser, and take every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, service() as url, sync_playwright() as playwright:
        clips = recordings(Path(folder))
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("ULLIM_CHROMIUM") or shutil.which("chromium"),
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={clips[0]}",
            ],
        )
        page = opened(browser, url, "en-GB", "light")
        keep(out, "page-start", [page.screenshot()])
        give(page, clips[:1])
        page.get_by_text("Picture of the sound").click()
        page.get_by_role("slider").click(position={"x": 200, "y": 40})
        keep(out, "page-result", [page.locator(".result").screenshot()])

        page = opened(browser, url, "en-GB", "dark", (1180, 760))
        keep(out, "page-live", [live(page)])

        page = opened(browser, url, "ko-KR", "light")
        give(page, clips)
        page.locator("#results").scroll_into_view_if_needed()
        keep(out, "page-list", [page.locator("#results").screenshot()])

        phones = [opened(browser, url, "ko-KR", "dark", PHONE)]
        shots = [phones[0].screenshot()]
        give(phones[0], clips[:1])
        phones[0].wait_for_timeout(900)
        shots.append(phones[0].screenshot())
        shots.append(live(opened(browser, url, "ko-KR", "dark", PHONE)))
        keep(out, "page-phone", shots)
        browser.close()


@contextmanager
def service() -> Iterator[str]:
    """Run ``ullim serve`` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    process = subprocess.Popen([sys.executable, "-m", "ullim", "serve", "--port", str(port)])
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"{url}readyz", timeout=2):
                    break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def recordings(folder: Path) -> list[Path]:
    """Cut the bundled clip into recordings; noise and a text are there to be refused."""
    samples, rate = soundfile.read(ullim.demo_clip(), dtype="float32")
    noise = 0.02 * np.random.default_rng(0).standard_normal(4 * rate)
    parts = {
        "meeting.wav": samples,
        "first half.wav": samples[: len(samples) // 2],
        "second half.wav": samples[len(samples) // 2 :],
        "rain.wav": noise,
    }
    for name, part in parts.items():
        soundfile.write(folder / name, part, rate)
    (folder / "notes.txt").write_text("no sound", encoding="utf-8")
    return [*(folder / name for name in parts), folder / "notes.txt"]


def opened(
    browser: Browser, url: str, locale: str, scheme: Any, size: tuple[int, int] = (1180, 900)
) -> Page:
    """Open the page and wait until it knows its models."""
    context = browser.new_context(
        locale=locale,
        color_scheme=scheme,
        viewport={"width": size[0], "height": size[1]},
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    page.locator("#model:enabled").wait_for()
    return page


def give(page: Page, clips: list[Path]) -> None:
    """Open recordings and wait for the answers."""
    page.locator("#tab-upload").click()
    page.locator("#files").set_input_files([str(clip) for clip in clips])
    page.locator(".result:not(.waiting)").nth(len(clips) - 1).wait_for(timeout=60_000)


def live(page: Page) -> bytes:
    """Listen until a first phrase has been answered, and a little of the second."""
    page.locator("#tab-live").click()
    page.locator("#live").click()
    page.locator(".live-said tbody tr").first.wait_for(timeout=60_000)
    page.wait_for_timeout(4000)
    page.locator("#live").evaluate("button => button.scrollIntoView({ block: 'start' })")
    page.evaluate("() => window.scrollBy(0, -110)")
    shot = page.screenshot()
    page.context.close()
    return shot


def keep(out: Path, name: str, shots: list[bytes]) -> None:
    """Write pictures side by side as one PNG of few colours."""
    images = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    gap = 24
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    whole = Image.new("RGB", (width, max(image.height for image in images)), "#8b8e98")
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width + gap
    path = out / f"{name}.png"
    # The rare colours are the emotions: what covers all of them goes before what is most frequent.
    few = whole.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
