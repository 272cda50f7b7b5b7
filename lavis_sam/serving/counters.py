"""What `/metrics` says, for Prometheus; apart from `app`, which so knows nothing of prometheus_client."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Counters:
    """The counters of one server, in a registry of its own: a process may have several servers."""

    def __init__(self, in_flight: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Begin at 0.

        Args:
            in_flight: Gives the requests that are being worked on or wait.
            waiting: Gives those that wait for the model.
        """
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("lavis_sam_requests", "Requests, by HTTP status.", ["status"], registry=registry)
        self.seconds = Histogram("lavis_sam_request_seconds", "Time of a request.", buckets=_SECONDS, registry=registry)
        self.batches = Histogram("lavis_sam_batch_size", "Requests in a batch.", buckets=_SIZES, registry=registry)
        self.images = Counter("lavis_sam_images", "Images of accepted requests.", registry=registry)
        self.prompt_tokens = Counter("lavis_sam_prompt_tokens", "Tokens that were read.", registry=registry)
        self.new_tokens = Counter("lavis_sam_new_tokens", "Tokens that were written.", registry=registry)
        Gauge("lavis_sam_requests_in_flight", "Requests at this moment.", registry=registry).set_function(in_flight)
        Gauge("lavis_sam_requests_waiting", "Of them, before the model.", registry=registry).set_function(waiting)

    def page(self) -> bytes:
        """Return all values, as Prometheus reads them."""
        return generate_latest(self._registry)
