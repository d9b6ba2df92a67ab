"""How sensitive each layer or group is: accuracy lost and time saved when it alone is pruned."""

from pruning.sensitivity.adaptive import Adaptive, Estimate, Precise
from pruning.sensitivity.point import Measured, Sample, ScanPoint
from pruning.sensitivity.result import Scan
from pruning.sensitivity.saved_time import LatencyPoint, LatencyScan, coarse_first, latency_scan
from pruning.sensitivity.scan import iter_scan, scan_sensitivity
from pruning.sensitivity.usual import FEW, usual_precision
from pruning.sensitivity.walk import Walk

__all__ = [
    "FEW",
    "Adaptive",
    "Estimate",
    "LatencyPoint",
    "LatencyScan",
    "Measured",
    "Precise",
    "Sample",
    "Scan",
    "ScanPoint",
    "Walk",
    "coarse_first",
    "iter_scan",
    "latency_scan",
    "scan_sensitivity",
    "usual_precision",
]
