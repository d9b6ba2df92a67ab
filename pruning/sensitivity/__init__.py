"""How sensitive each layer or group is: accuracy lost and time saved when it alone is pruned."""

from pruning.sensitivity.result import Measured, Scan, ScanPoint
from pruning.sensitivity.saved_time import LatencyPoint, LatencyScan, latency_scan
from pruning.sensitivity.scan import Walk, coarse_first, iter_scan, scan_sensitivity

__all__ = [
    "LatencyPoint",
    "LatencyScan",
    "Measured",
    "Scan",
    "ScanPoint",
    "Walk",
    "coarse_first",
    "iter_scan",
    "latency_scan",
    "scan_sensitivity",
]
