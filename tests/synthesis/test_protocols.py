"""What the manifest says of backends."""

from types import SimpleNamespace

from lavis_sam.synthesis.protocols import backend_versions


def test_backends_are_told_by_job_in_order():
    backends = {"segment": SimpleNamespace(name="u2netp", version=1), "plan": SimpleNamespace(name="a", version="2b")}
    assert list(backend_versions(backends).items()) == [("plan", "a 2b"), ("segment", "u2netp 1")]
