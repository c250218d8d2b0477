"""Make the picture of a report in the guides: `python docs/_ext/report_picture.py`.

It distills a quarter of the shipped pictures, evaluates them, opens the page in
Chromium at 1,280 pixels in light colours and at 400 in dark ones, and writes both, side
by side, to docs/_static/report.png. It takes some minutes and needs chromium and
chromium-driver; the build of the pages does not run it.
"""

import argparse
import base64
import io
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from PIL import Image  # noqa: E402
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402

import multidd  # noqa: E402

PICTURE = Path(__file__).resolve().parents[1] / "_static" / "report.png"
VIEWS = ((1280, "light"), (400, "dark"))
HEIGHT = 1540
SCALE = 0.62
COLORS = 128
PROTOCOL = multidd.Protocol(
    "short",
    epochs=100,
    width=32,
    check_every=10,
    augment="crop_flip",
    whole_batch=64,
    whole_patience=100,
    whole_cap=600,
)
MAX_BYTES = 150 * 1024
FLAGS = """--headless=new --no-sandbox --disable-gpu --no-first-run
--disable-background-networking --hide-scrollbars""".split()


def make_page(folder: str) -> Path:
    """Distill and evaluate; return the page."""
    import torch

    train, test = multidd.samples.fashion()
    train = train.subset(torch.arange(0, len(train), 4))
    summary = multidd.images.dm(train, ipc=1, steps=100, progress=False)
    report = multidd.evaluate(
        summary,
        on=test,
        train=train,
        models=["convnet", "mlp"],
        protocol=PROTOCOL,
        regimes=("plain", "HL", "SL", "SL+KD"),
    )
    return report.save(folder)


def views(page: Path) -> list[Image.Image]:
    """The page at both widths."""
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    driver = shutil.which("chromedriver")
    if driver is None:
        raise SystemExit("no chromedriver: apt-get install chromium chromium-driver")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    pictures = []
    try:
        for width, scheme in VIEWS:
            size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1}
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride", {**size, "mobile": False}
            )
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [feature]}
            )
            browser.get(page.as_uri())
            shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
            image = Image.open(io.BytesIO(base64.b64decode(shot["data"])))
            pictures.append(image.convert("RGB"))
    finally:
        browser.quit()
    return pictures


def main() -> None:
    """Write the picture; refuse one that is too large for the repository."""
    parser = argparse.ArgumentParser(description="Make the picture of a report page.")
    parser.add_argument("--page", type=Path, help="a page that is there already")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = views(arguments.page or make_page(folder))
    gap = 24
    width = sum(picture.width for picture in pictures) + gap
    both = Image.new("RGB", (width, HEIGHT), "#8a9199")
    both.paste(pictures[0], (0, 0))
    both.paste(pictures[1], (pictures[0].width + gap, 0))
    size = (round(both.width * SCALE), round(both.height * SCALE))
    small = both.resize(size, Image.Resampling.LANCZOS)
    # Few dots have the colours of series: a palette by frequency would lose them.
    small = small.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE)
    stream = io.BytesIO()
    small.save(stream, "PNG", optimize=True)
    if stream.tell() > MAX_BYTES:
        raise SystemExit(f"{stream.tell()} bytes are more than {MAX_BYTES}")
    PICTURE.write_bytes(stream.getvalue())
    print(f"{PICTURE.name}: {size[0]} x {size[1]}, {stream.tell() / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
