"""Read uploads safely; write pruned networks to files that load elsewhere; say what such a file is."""

from pruning.checkpoint.card import Side, model_card
from pruning.checkpoint.check import SelfCheck, check_batches, self_check
from pruning.checkpoint.code import loading_code, program_code, reader_code
from pruning.checkpoint.layout import FORMS, Form, ending_of
from pruning.checkpoint.load import LoadedCheckpoint, load_checkpoint
from pruning.checkpoint.program import program_bytes, program_of, save_program
from pruning.checkpoint.prz import prz_bytes, save_prz
from pruning.checkpoint.read import check_state_dict, read_state_dict
from pruning.checkpoint.size import SizeModel, checkpoint_size, dense_size
from pruning.checkpoint.write import checkpoint_bytes, save_checkpoint

__all__ = [
    "FORMS",
    "Form",
    "LoadedCheckpoint",
    "SelfCheck",
    "Side",
    "SizeModel",
    "check_batches",
    "check_state_dict",
    "checkpoint_bytes",
    "checkpoint_size",
    "dense_size",
    "ending_of",
    "load_checkpoint",
    "loading_code",
    "model_card",
    "program_bytes",
    "program_code",
    "program_of",
    "prz_bytes",
    "read_state_dict",
    "reader_code",
    "save_checkpoint",
    "save_program",
    "save_prz",
    "self_check",
]
