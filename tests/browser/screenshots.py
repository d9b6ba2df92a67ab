"""Take a picture of every page, dark and light, at two widths.

    python tests/browser/screenshots.py FOLDER [--pages prune export] [--themes light] [--widths 1280]
        [--model digits-vit] [--ratio 0.3] [--scan] [--runs] [--wait 2]

A page is photographed at its full height, after its script has run and a short while for what is drawn late.
With `--ratio` every group is pruned that far; with `--scan` the sensitivity scan has been measured before;
with `--runs` the network has been fine-tuned a few times, and Fine-tune shows the last of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from harness import NO_CHROMIUM, App, chromium, find_chromium, serve  # noqa: E402

import pruning  # noqa: E402
from pruning.history import History  # noqa: E402
from pruning.recover import Pruning as RecoverySteps  # noqa: E402
from pruning.recover import Recovery, Teach  # noqa: E402
from pruning.runs import Dispatcher  # noqa: E402
from ui import address  # noqa: E402
from ui.draft import Draft  # noqa: E402
from ui.shell import PAGES  # noqa: E402

TALLEST = 6000  # pixels of one picture


def main(arguments: list[str] | None = None) -> int:
    chosen = _parse(arguments)
    if not find_chromium():
        print(NO_CHROMIUM, file=sys.stderr)
        return 2
    chosen.folder.mkdir(parents=True, exist_ok=True)
    query = _address(chosen.model, chosen.ratio)
    with tempfile.TemporaryDirectory() as cache, serve(Path(cache)) as server, chromium() as browser:
        if chosen.scan:
            _scan(chosen.model, cache)
        shown = {"finetune": {"run": _runs(chosen.model, cache)}} if chosen.runs else {}
        for theme in chosen.themes:
            for width in chosen.widths:
                context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
                app = App(context.new_page(), server)
                for name in chosen.pages:
                    file = chosen.folder / f"{name}-{theme}-{width}.png"
                    where = urlencode({**query, **shown.get(name, {})})
                    _photograph(app, f"{name}?{where}", file, chosen.wait)
                    print(file, *app.exceptions, *app.complaints, sep="\n  ")
                    app.complaints.clear()
                context.close()
    return 0


def _address(model: str, ratio: float) -> dict[str, str]:
    """The app's address with every group of the network pruned that far."""
    loaded = pruning.load_model(model)
    keys = [group.id for group in pruning.find_groups(loaded.module, loaded.example_inputs)]
    draft = Draft(ratios=dict.fromkeys(keys, ratio) if ratio else {})
    return address.write(model, None, draft, keys)


def _scan(model: str, cache: str) -> None:
    """Measure as the command line does; the app finds the result in the cache directory."""
    command = [sys.executable, "-m", "pruning", "scan", model, "--json"]
    environment = {**os.environ, "PRUNING_CACHE_DIR": cache}
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)


def _runs(model: str, cache: str) -> str:
    """Fine-tune at several ratios, little by little and at once; the id of the last run."""
    loaded = pruning.load_model(model)
    structure = pruning.find_structure(loaded.module, loaded.example_inputs)
    os.environ["PRUNING_CACHE_DIR"] = cache
    history = History()
    dispatcher = Dispatcher(history)
    dispatcher.start()
    ids = []
    for ratio in (0.3, 0.7, 0.5):
        for steps in (
            RecoverySteps(schedule="one-shot", prune=0, recover=10),
            RecoverySteps(prune=6, recover=4),
        ):
            rules = {group.id: pruning.Rule(ratio=ratio) for group in structure.groups}
            settings = Recovery(recipe=pruning.Recipe(rules=rules, model=model), pruning=steps, teach=Teach())
            ids.append(dispatcher.submit(loaded, settings))
    while any(run.busy for run in history.runs(kind="fine-tuning")):
        time.sleep(1)
    dispatcher.close()
    return ids[-1]


def _photograph(app: App, path: str, file: Path, wait: float) -> None:
    page = app.open(path)
    page.wait_for_timeout(1000 * wait)
    app.ready()
    width = page.viewport_size["width"] if page.viewport_size else 1280
    height = page.evaluate("document.querySelector(\"[data-testid='stMain']\").scrollHeight")
    page.set_viewport_size({"width": width, "height": min(max(800, height + 60), TALLEST)})
    page.wait_for_timeout(500)
    page.screenshot(path=file)
    page.set_viewport_size({"width": width, "height": 800})


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=list(PAGES))
    parser.add_argument("--themes", nargs="+", choices=("light", "dark"), default=["light", "dark"])
    parser.add_argument("--widths", nargs="+", type=int, default=[1280, 1920])
    parser.add_argument("--model", choices=list(pruning.MODELS), default="digits-resnet")
    parser.add_argument("--ratio", type=float, default=0.0, help="prune every group that far")
    parser.add_argument("--scan", action="store_true", help="measure the sensitivity scan first")
    parser.add_argument("--runs", action="store_true", help="fine-tune a few times first")
    parser.add_argument("--wait", type=float, default=2.0, help="seconds for what is drawn late")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
