"""Weight sharing: the weights of a layer take few values, the centroids of their clusters.

shared = cluster(loaded.module, {"fc1": 4, "fc2": 6})  # 16 and 64 values; zeros stay zero
"""

from pruning.clustering.kmeans import Clusters, fit
from pruning.clustering.share import centroids_of, cluster, share
from pruning.clustering.starts import INITS, Init
from pruning.clustering.tied import Tied

__all__ = ["INITS", "Clusters", "Init", "Tied", "centroids_of", "cluster", "fit", "share"]
