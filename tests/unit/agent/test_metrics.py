"""Docker's statistics become ECS's metrics."""

from typing import Any

from homeport.agent.metrics import Sample, make_metric, read_sample

SECOND_NS = 1_000_000_000
STATS: dict[str, Any] = {
    "cpu_stats": {"cpu_usage": {"total_usage": 3 * SECOND_NS}, "online_cpus": 2},
    "memory_stats": {"usage": 50 * 2**20, "stats": {"total_inactive_file": 10 * 2**20}},
    "networks": {
        "eth0": {"rx_bytes": 100, "tx_bytes": 10, "rx_packets": 1},
        "eth1": {"rx_bytes": 50, "tx_bytes": 5, "rx_packets": 2},
    },
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"op": "Read", "value": 4096},
            {"op": "read", "value": 1},
            {"op": "Write", "value": 512},
        ]
    },
}


def test_a_sample_sums_interfaces_and_blocks_and_leaves_droppable_cache_out():
    sample = read_sample(STATS, at_ns=5)
    assert sample.memory_bytes == 40 * 2**20
    assert sample.network is not None
    assert (sample.network["rx_bytes"], sample.network["rx_packets"]) == (150, 3)
    assert (sample.read_bytes, sample.written_bytes) == (4097, 512)


def test_a_container_without_network_or_statistics_is_still_sampled():
    sample = read_sample({}, at_ns=5)
    assert sample == Sample(
        at_ns=5, cpu_ns=0, cpus=1, memory_bytes=0, network=None, read_bytes=0, written_bytes=0
    )
    assert make_metric("web", None, sample, None).network_stats_set is None


def test_the_first_sample_has_no_rates():
    metric = make_metric("web", None, read_sample(STATS, at_ns=0), restart_count=3)
    assert metric.cpu_stats_set is None
    assert metric.memory_stats_set is not None
    assert metric.memory_stats_set.max == 40
    assert metric.network_stats_set is not None
    assert metric.network_stats_set.rx_bytes_per_second is None
    assert metric.restart_stats_set is not None
    assert metric.restart_stats_set.restart_count == 3


def test_cpu_is_percent_of_the_whole_instance_and_traffic_is_a_rate():
    before = read_sample(STATS, at_ns=0)
    later = {
        **STATS,
        "cpu_stats": {"cpu_usage": {"total_usage": 5 * SECOND_NS}, "online_cpus": 2},
        "networks": {"eth0": {"rx_bytes": 350, "tx_bytes": 15}},
    }
    metric = make_metric("web", before, read_sample(later, at_ns=2 * SECOND_NS), None)
    assert metric.cpu_stats_set is not None
    assert metric.cpu_stats_set.sum == 50.0
    assert metric.network_stats_set is not None
    assert metric.network_stats_set.rx_bytes_per_second is not None
    assert metric.network_stats_set.rx_bytes_per_second.sum == 100.0


def test_counters_that_went_back_after_a_restart_count_as_no_growth():
    before = read_sample(STATS, at_ns=0)
    metric = make_metric("web", before, read_sample({"networks": {"eth0": {}}}, SECOND_NS), None)
    assert metric.cpu_stats_set is not None
    assert metric.cpu_stats_set.sum == 0.0
    assert metric.network_stats_set is not None
    assert metric.network_stats_set.tx_bytes_per_second is not None
    assert metric.network_stats_set.tx_bytes_per_second.sum == 0.0
