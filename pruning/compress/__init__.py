"""The whole way to a small file: low rank, prune, recover, share weights, train what they share, code.

wanted = Compression(prune=Recovery(recipe=recipe), share=Sharing(bits={"fc1": 4, "fc2": 5}), tune=Recovery())
found = compress(loaded.module, task, wanted, example_inputs=loaded.example_inputs)
Path("network.prz").write_bytes(found.file)
"""

from pruning.compress.begin import Begun, begun
from pruning.compress.live import SharingEvaluator
from pruning.compress.run import Compressed, compress
from pruning.compress.scan import BitsPoint, BitsScan, bits_scan
from pruning.compress.settings import Compression, Packing, Sharing
from pruning.compress.stages import STAGES, Stage
from pruning.compress.weights import shared

__all__ = [
    "STAGES",
    "Begun",
    "BitsPoint",
    "BitsScan",
    "Compressed",
    "Compression",
    "Packing",
    "Sharing",
    "SharingEvaluator",
    "Stage",
    "begun",
    "bits_scan",
    "compress",
    "shared",
]
