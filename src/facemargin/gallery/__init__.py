"""People, images and vectors: who is together with whom."""

from facemargin.gallery.cluster import Clusters, cluster

__all__ = ["Clusters", "cluster"]
