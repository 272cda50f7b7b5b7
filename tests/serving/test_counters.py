from lavis_sam.serving.counters import Counters


def test_counters_of_two_servers_are_apart():
    first, second = (Counters(lambda: 3, lambda: 1) for _ in range(2))
    first.requests.labels(200).inc()
    assert 'lavis_sam_requests_total{status="200"} 1.0' in first.page().decode()
    assert "requests_total{" not in second.page().decode()
    assert "lavis_sam_requests_in_flight 3.0" in second.page().decode()
    assert "lavis_sam_requests_waiting 1.0" in second.page().decode()
