"""Messages of the telemetry service (TCS), both directions.

A class's name is the frame's `type`; timestamps are epoch seconds. HeartbeatMessage and the shared
exceptions live in `acs`, the text form in `frames`.
"""

from homeport.wire.agent_messages.record import FullRecord, Record


class StatsSet(FullRecord, frozen=True):
    """Samples of one window: smallest, largest, how many, and their sum."""

    min: float = 0.0
    max: float = 0.0
    sample_count: int = 0
    sum: float = 0.0


class LongStatsSet(FullRecord, frozen=True):
    """Whole-number samples; the overflow members carry what doesn't fit 32-bit clients."""

    min: int = 0
    max: int = 0
    sample_count: int = 0
    sum: int = 0
    overflow_min: int = 0
    overflow_max: int = 0
    overflow_sum: int = 0


class NetworkStatsSet(Record, frozen=True):
    """Network traffic of a container."""

    rx_bytes_per_second: StatsSet | None = None
    rx_bytes: LongStatsSet | None = None
    rx_dropped: LongStatsSet | None = None
    rx_errors: LongStatsSet | None = None
    rx_packets: LongStatsSet | None = None
    tx_bytes_per_second: StatsSet | None = None
    tx_bytes: LongStatsSet | None = None
    tx_dropped: LongStatsSet | None = None
    tx_errors: LongStatsSet | None = None
    tx_packets: LongStatsSet | None = None


class StorageStatsSet(Record, frozen=True):
    """Bytes read and written by a container."""

    read_size_bytes: LongStatsSet | None = None
    write_size_bytes: LongStatsSet | None = None


class RestartStatsSet(FullRecord, frozen=True):
    """How often the restart policy restarted a container."""

    restart_count: int = 0


class Dimension(Record, frozen=True):
    """A key and value that qualify a metric."""

    key: str = ""
    value: str = ""


class GeneralMetric(Record, frozen=True):
    """A named metric in one of several value forms."""

    metric_name: str = ""
    metric_values: tuple[float, ...] = ()
    metric_counts: tuple[int, ...] = ()
    metric_value_double: float | None = None
    metric_value_long: int | None = None
    metric_value_stats_set: StatsSet | None = None
    unit: str = ""


class GeneralMetricsWrapper(Record, frozen=True):
    """General metrics that share dimensions."""

    dimensions: tuple[Dimension, ...] = ()
    metric_type: str = ""
    general_metrics: tuple[GeneralMetric, ...] = ()


class ContainerMetric(Record, frozen=True):
    """One container's statistics (CPU in percent of a core, memory in MiB)."""

    container_arn: str = ""
    container_name: str = ""
    cpu_stats_set: StatsSet | None = None
    memory_stats_set: StatsSet | None = None
    network_stats_set: NetworkStatsSet | None = None
    storage_stats_set: StorageStatsSet | None = None
    restart_stats_set: RestartStatsSet | None = None
    general_metrics_payload: tuple[GeneralMetricsWrapper, ...] = ()


class EphemeralStorageMetrics(Record, frozen=True):
    """Ephemeral storage used by a task."""

    bytes_utilized: LongStatsSet | None = None


class VolumeMetric(Record, frozen=True):
    """Use of one volume."""

    volume_id: str = ""
    volume_name: str = ""
    utilized: StatsSet | None = None
    size: StatsSet | None = None


class TaskMetric(Record, frozen=True):
    """Statistics of one task."""

    task_arn: str = ""
    cluster_arn: str = ""
    task_definition_family: str = ""
    task_definition_version: str = ""
    container_metrics: tuple[ContainerMetric, ...] = ()
    ephemeral_storage_metrics: EphemeralStorageMetrics | None = None
    volume_metrics: tuple[VolumeMetric, ...] = ()
    service_connect_metrics_wrapper: tuple[GeneralMetricsWrapper, ...] = ()


class InstanceStorageMetrics(FullRecord, frozen=True):
    """Fill of the instance's file systems, in percent."""

    root_filesystem: float = 0.0
    data_filesystem: float = 0.0


class InstanceMetrics(Record, frozen=True):
    """Statistics of the instance itself."""

    storage: InstanceStorageMetrics | None = None
    general_metrics_payload: tuple[GeneralMetricsWrapper, ...] = ()


class MetricsMetadata(FullRecord, frozen=True):
    """Who reports; `fin` ends a report that spans several messages, `idle` says no tasks."""

    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""
    idle: bool = False
    fin: bool = False


class PublishMetricsRequest(Record, frozen=True):
    """Metrics of all tasks of an instance, every 20 s."""

    metadata: MetricsMetadata | None = None
    instance_metrics: InstanceMetrics | None = None
    task_metrics: tuple[TaskMetric, ...] = ()
    timestamp: float = 0.0


class ContainerHealth(Record, frozen=True):
    """A container's health check result and since when (epoch seconds)."""

    container_name: str = ""
    health_status: str = ""
    status_since: float | None = None
    status_message: str = ""


class TaskHealth(Record, frozen=True):
    """Health of a task's containers."""

    task_arn: str = ""
    cluster_arn: str = ""
    task_definition_family: str = ""
    task_definition_version: str = ""
    containers: tuple[ContainerHealth, ...] = ()


class HealthMetadata(FullRecord, frozen=True):
    """Who reports health; `fin` as in MetricsMetadata."""

    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""
    fin: bool = False


class PublishHealthRequest(Record, frozen=True):
    """Container health of all tasks of an instance."""

    metadata: HealthMetadata | None = None
    tasks: tuple[TaskHealth, ...] = ()
    timestamp: float = 0.0


class InstanceStatus(Record, frozen=True):
    """One check of the instance, e.g. ContainerRuntime: OK, IMPAIRED, INSUFFICIENT_DATA, ..."""

    type: str = ""
    status: str = ""
    status_reason: str = ""
    last_updated: float | None = None
    last_status_change: float | None = None


class InstanceStatusMetadata(Record, frozen=True):
    """Who reports the instance's status."""

    cluster: str = ""
    container_instance: str = ""
    request_id: str = ""


class PublishInstanceStatusRequest(Record, frozen=True):
    """Health of the instance's container runtime."""

    metadata: InstanceStatusMetadata | None = None
    statuses: tuple[InstanceStatus, ...] = ()
    timestamp: float = 0.0


class StartTelemetrySessionRequest(Record, frozen=True):
    """The parameters of a telemetry connection."""

    cluster: str = ""
    container_instance: str = ""


class StopTelemetrySessionMessage(Record, frozen=True):
    """The control plane wants no more telemetry."""

    message: str = ""


class AckPublishMetric(Record, frozen=True):
    """Metrics were taken."""

    message: str = ""


class AckPublishHealth(Record, frozen=True):
    """Health was taken."""

    message: str = ""


class AckPublishInstanceStatus(Record, frozen=True):
    """Instance status was taken."""

    message: str = ""


class ResourceValidationException(Record, frozen=True):
    """A telemetry message names a resource that isn't valid."""

    message: str = ""


class InvalidParameterException(Record, frozen=True):
    """A telemetry message holds an invalid value."""

    message: str = ""
