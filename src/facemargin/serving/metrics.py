"""What Prometheus asks for at /metrics. No label comes from a client."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The counts of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "facemargin_requests", "Requests by address and status.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "facemargin_request_seconds", "Seconds of a request.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.inside = Gauge(
            "facemargin_requests_inside", "Requests that are worked on or wait.", registry=self.registry
        )
        self.images = Counter("facemargin_images", "Images that the network computed.", registry=self.registry)
        self.batch = Histogram(
            "facemargin_batch_images", "Images that the network computed together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=self.registry,
        )  # fmt: skip
        self.network = Counter("facemargin_network_seconds", "Seconds of the network.", registry=self.registry)

    def batch_done(self, images: int, requests: int, seconds: float) -> None:
        """The network computed `images` of so many requests."""
        self.images.inc(images)
        self.batch.observe(images)
        self.network.inc(seconds)

    def text(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self.registry)
