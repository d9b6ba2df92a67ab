"""A worker whose work is to sleep: `python sleeper.py ID`. Settings: {"steps": n, "seconds": of each}.

It notes every tenth step in a file, as an epoch that is kept, and goes on after the last one noted. A deaf
one makes no steps, and has started a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from pruning.runs.work import Job
from pruning.runs.worker import main


def sleep(job: Job) -> None:
    asked = json.loads(job.settings)
    kept = job.folder / "steps"
    first = int(kept.read_text()) if kept.exists() else 0
    with (job.folder / "begins").open("a") as file:
        file.write(f"{first} {time.time()}\n")
    job.control.phase("sleeping")
    if asked.get("deaf"):
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        (job.folder / "child").write_text(str(child.pid))
        time.sleep(600)
    for done in range(first + 1, asked["steps"] + 1):
        time.sleep(asked.get("seconds", 0.02))
        if done % 10 == 0:
            kept.write_text(str(done))
        job.control.step(done, asked["steps"], images=1)
        if job.control.finish.is_set():
            break
    if asked.get("fails"):
        raise ValueError(asked["fails"])
    (job.folder / "end").write_text(str(time.time()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], {"fine-tuning": sleep}, grace_s=0.5))
