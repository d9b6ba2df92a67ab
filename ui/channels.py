"""Time against channels that pages share: measured in the background, found again after a restart."""

from __future__ import annotations

from collections.abc import Sequence

from pruning import ChannelTable, store
from pruning.device import choose, kind_of
from pruning.groups.choices import DEFAULT, Choices
from pruning.latency import Way
from pruning.latency.table import refine_channels
from ui import cache, uploads
from ui.bounded import remember
from ui.jobs import Job
from ui.latencies import Setting

KIND = "channel-tables"  # of the jobs, and on disk
SLICES = 8  # of one group's table; a cancelled one ends after the slice under way
CARE = {"Quick": 3.0, "Careful": 10.0, "Thorough": 30.0}  # seconds for one group
_MOST = 2048  # tables in memory, and groups without one
_known: dict[str, ChannelTable | None] = {}


def find(model_id: str, key: str, setting: Setting, choices: Choices = DEFAULT) -> ChannelTable | None:
    """The table of a group that was last measured like this on this machine."""
    digest = _digest(model_id, key, setting, choices)
    if digest not in _known:
        remember(_known, digest, store.find(KIND, digest, ChannelTable.from_json), _MOST)
    return _known[digest]


def start(
    owner: str,
    model_id: str,
    keys: Sequence[str],
    setting: Setting,
    choices: Choices = DEFAULT,
    group_s: float = CARE["Quick"],
) -> Job:
    """Measure these groups one after the other; the job's parts are their tables, which are kept."""
    loaded, structure = cache.model(model_id), cache.structure(model_id, choices)
    digests = {key: _digest(model_id, key, setting, choices) for key in keys}

    def work(job: Job) -> None:
        job.advance(0, len(keys) * SLICES)
        for key in keys:
            tables = refine_channels(
                loaded.module,
                loaded.example_inputs,
                key,
                structure=structure,
                batch_size=setting.batch_size,
                threads=setting.threads,
                way=_way(setting),
                budget_s=group_s,
                slices=SLICES,
                stop=job.stop,
            )
            for found in tables:
                table = found
                job.advance()
            if job.stop.is_set():
                return
            store.save(KIND, digests[key], table.to_json())
            remember(_known, digests[key], table, _MOST)
            job.add(table)

    key = job_key(model_id, setting, choices)
    return cache.jobs().submit(owner, KIND, key, work, label="time against channels", anew=True)


def job(model_id: str, setting: Setting, choices: Choices = DEFAULT) -> Job | None:
    """The measurement for this network, if one was asked for."""
    return cache.jobs().get(KIND, job_key(model_id, setting, choices))


def job_key(model_id: str, setting: Setting, choices: Choices) -> str:
    return repr((model_id, setting, choices))


def _way(setting: Setting) -> Way:
    """Compiling every count would take minutes; folding takes none."""
    return "eager" if setting.way == "compiled" else setting.way


def _digest(model_id: str, key: str, setting: Setting, choices: Choices) -> str:
    """What decides the time: shapes, not weights; how it is run; and the machine."""
    network = uploads.split_id(model_id)[0], key, choices.heads, choices.norms
    how = setting.batch_size, setting.threads, _way(setting)
    gpu = kind_of(choose(uploads.device_in(model_id)))
    return store.digest(network, how, store.machine(), gpu)
