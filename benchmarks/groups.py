"""How many networks are pruned exactly, by this engine and by Torch-Pruning, in the same run; and how fast.

The networks are the zoo of the tests and small Hugging Face configurations with random weights. In each, half
of every group is removed at random. The smaller network is compared in float64 with the original in which the
very same entries of parameters are zero; inputs are the example inputs. Each network has a time limit.

This engine runs with `norms="statistics"`, the wider choice, which prunes what norms average over as
Torch-Pruning does. Torch-Pruning is given the layers that make the outputs to leave alone (as its users must
name them) and no other hint, such as numbers of heads. What it removed is read off numbers written into the
parameters once it has traced the network. A difference from the masked original is counted in its favour, as
"statistics", where it goes away once norms over channels are taken over the kept ones and the temperature of
`nn.MultiheadAttention` follows its narrower heads.

    PYTHONPATH=.:tests/pruning python benchmarks/groups.py [--only NAME ...] [--limit SECONDS] [--no-speed]

Torch-Pruning is optional: pip install -r requirements-bench.txt. Without it its column stays empty.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import sys
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "pruning"), str(ROOT / "benchmarks")]
ENGINES = ("this engine", "Torch-Pruning")
VERDICTS = ("exact", "statistics", "wrong", "failed", "nothing")
COUNTED = ("exact", "statistics", "both", "of these own class", "of these a graph", *VERDICTS[2:])


class Outcome(NamedTuple):
    """What became of one network: a verdict, the seconds it took, and a remark."""

    verdict: str
    seconds: float
    remark: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="names of networks")
    parser.add_argument("--limit", type=float, default=60, help="seconds for each network and engine")
    parser.add_argument("--no-speed", action="store_true", help="leave out the networks of full size")
    options = parser.parse_args()
    from _groups_judge import names

    engines = [e for e in ENGINES if e == ENGINES[0] or importlib.util.find_spec("torch_pruning")]
    outcomes: dict[str, dict[str, Outcome]] = {}
    workers = {engine: Worker(engine) for engine in engines}
    print("| network | " + " | ".join(engines) + " |\n" + "|---" * (1 + len(engines)) + "|")
    for name in options.only or names():
        outcomes[name] = {e: worker.run(name, options.limit) for e, worker in workers.items()}
        print("| " + " | ".join([name, *(_cell(o) for o in outcomes[name].values())]) + " |", flush=True)
    for worker in workers.values():
        worker.stop()
    print(_totals(engines, list(outcomes.values())))
    if not options.no_speed:
        for size in ("ResNet-50", "ViT-Base"):
            print(_apart(size), flush=True)


class Worker:
    """A process that tries one network after the other; it is started anew when one takes too long."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.process: Any = None

    def run(self, name: str, limit: float) -> Outcome:
        if self.process is None:
            self.pipe, theirs = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            self.process = context.Process(target=_serve, args=(self.engine, theirs), daemon=True)
            self.process.start()
            self.pipe.recv()  # imports are done
        self.pipe.send(name)
        begin = perf_counter()
        try:
            if self.pipe.poll(limit):
                return self.pipe.recv()
            cause = "time limit"
        except EOFError:
            cause = "the process ended"
        self.stop()
        return Outcome("failed", perf_counter() - begin, cause)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _serve(engine: str, pipe: Connection) -> None:
    import warnings

    import torch
    from _groups_judge import judge_ours, judge_theirs

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    judge = judge_ours if engine == ENGINES[0] else judge_theirs
    pipe.send("ready")
    while True:
        name = pipe.recv()
        begin = perf_counter()
        try:
            verdict, remark = judge(name)
        except Exception as error:
            verdict, remark = "failed", f"{type(error).__name__}: {(str(error) or '?').splitlines()[0][:70]}"
        pipe.send(Outcome(verdict, perf_counter() - begin, remark))


def _cell(outcome: Outcome) -> str:
    remark = f" ({outcome.remark})" if outcome.remark else ""
    return f"{outcome.verdict}{remark} {outcome.seconds:.1f} s".replace("|", "/")


def _totals(engines: list[str], outcomes: list[dict[str, Outcome]]) -> str:
    lines = [
        f"\n| {len(outcomes)} networks | " + " | ".join(engines) + " |",
        "|---" * (1 + len(engines)) + "|",
    ]
    counts = {engine: Counter(each[engine].verdict for each in outcomes) for engine in engines}
    for engine, count in counts.items():
        good = [each[engine] for each in outcomes if each[engine].verdict in ("exact", "statistics")]
        count["both"] = len(good)
        count["of these a graph"] = sum("graph" in outcome.remark for outcome in good)
        count["of these own class"] = len(good) - count["of these a graph"]
    for row in COUNTED:
        lines.append(f"| {row} | " + " | ".join(str(counts[engine][row]) for engine in engines) + " |")
    seconds = [f"{sum(each[engine].seconds for each in outcomes):.0f}" for engine in engines]
    return "\n".join([*lines, "| seconds in all | " + " | ".join(seconds) + " |"])


def _apart(size: str) -> str:
    """Speed in a process of its own, so that peak memory is this network's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        from _groups_judge import speed

        return pool.apply(speed, (size,))


if __name__ == "__main__":
    main()
