"""What a PayloadMessage says about a task: containers, volumes, credentials, interfaces.

Shapes only, as the agent communication service's model has them; `str` members marked "JSON text"
carry Docker's or ECS's own JSON as a string. Not here: the messages themselves (`acs`).
"""

import msgspec

from homeport.wire.agent_messages.record import Record


class DockerConfig(Record, frozen=True):
    """Docker's container settings beyond ECS's own members; both are JSON text in Docker's form."""

    version: str = ""
    config: str = ""
    host_config: str = ""


class PortMapping(Record, frozen=True):
    """One published port; host port 0 means any, a range maps a whole containerPortRange."""

    container_port: int | None = None
    host_port: int = 0
    container_port_range: str = ""
    protocol: str = ""


class MountPoint(Record, frozen=True):
    """Where a task volume appears in a container."""

    source_volume: str = ""
    container_path: str = ""
    read_only: bool = False


class VolumeFrom(Record, frozen=True):
    """All volumes of another container of the task."""

    source_container: str = ""
    read_only: bool = False


class ContainerDependency(Record, frozen=True):
    """A dependsOn entry: START, COMPLETE, SUCCESS or HEALTHY of another container."""

    container_name: str = ""
    condition: str = ""


class RestartPolicy(Record, frozen=True):
    """Whether and when the agent restarts a container by itself (period in seconds)."""

    enabled: bool = False
    ignored_exit_codes: tuple[int, ...] = ()
    restart_attempt_period: int | None = None


class KernelCapabilities(Record, frozen=True):
    """Linux capabilities to add and drop."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class Device(Record, frozen=True):
    """A host device given to a container."""

    host_path: str = ""
    container_path: str = ""
    permissions: tuple[str, ...] = ()


class LinuxParameters(Record, frozen=True):
    """The linuxParameters that travel outside dockerConfig (shared memory in MiB)."""

    capabilities: KernelCapabilities | None = None
    devices: tuple[Device, ...] = ()
    init_process_enabled: bool | None = None
    shared_memory_size: int | None = None


class EnvironmentFile(Record, frozen=True):
    """An environment file in S3."""

    value: str = ""
    type: str = ""


class Secret(Record, frozen=True):
    """A secret injected as an environment variable, a mount or a log-driver option."""

    name: str = ""
    value_from: str = ""
    container_path: str = ""
    type: str = ""
    region: str = ""
    provider: str = ""
    target: str = ""


class EcrAuthData(Record, frozen=True):
    """Which ECR registry to ask for a pull token."""

    registry_id: str = ""
    region: str = ""
    endpoint_override: str = ""
    use_execution_role: bool = False


class AsmAuthData(Record, frozen=True):
    """Which secret holds a private registry's credentials."""

    credentials_parameter: str = ""
    region: str = ""


class RegistryAuthenticationData(Record, frozen=True):
    """How to authenticate an image pull: `ecr` or `asm`."""

    type: str = ""
    ecr_auth_data: EcrAuthData | None = None
    asm_auth_data: AsmAuthData | None = None


class FirelensConfiguration(Record, frozen=True):
    """FireLens log router settings."""

    type: str = ""
    options: dict[str, str] = msgspec.field(default_factory=dict)


class ManagedAgent(Record, frozen=True):
    """An agent inside the container, e.g. ExecuteCommandAgent."""

    name: str = ""
    properties: dict[str, str] = msgspec.field(default_factory=dict)


class Container(Record, frozen=True):
    """One container of a payload task (cpu in units, memory in MiB, time-outs in seconds)."""

    name: str = ""
    image: str = ""
    command: tuple[str, ...] | None = None
    entry_point: tuple[str, ...] | None = None
    cpu: int = 0
    memory: int = 0
    essential: bool = False
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    environment_files: tuple[EnvironmentFile, ...] = ()
    secrets: tuple[Secret, ...] = ()
    links: tuple[str, ...] = ()
    port_mappings: tuple[PortMapping, ...] = ()
    mount_points: tuple[MountPoint, ...] = ()
    volumes_from: tuple[VolumeFrom, ...] = ()
    depends_on: tuple[ContainerDependency, ...] = ()
    restart_policy: RestartPolicy | None = None
    linux_parameters: LinuxParameters | None = None
    privileged: bool | None = None
    start_timeout: int | None = None
    stop_timeout: int | None = None
    health_check_type: str = ""
    overrides: str = ""
    docker_config: DockerConfig | None = None
    registry_authentication: RegistryAuthenticationData | None = None
    logs_auth_strategy: str = ""
    firelens_configuration: FirelensConfiguration | None = None
    managed_agents: tuple[ManagedAgent, ...] = ()
    network_interface_names: tuple[str, ...] = ()
    credential_specs: tuple[str, ...] = ()
    container_arn: str = ""


class HostVolumeProperties(Record, frozen=True):
    """A bind mount's host path; empty means a directory of Docker's own."""

    source_path: str = ""


class DockerVolumeConfiguration(Record, frozen=True):
    """A Docker volume, per task or shared between tasks."""

    scope: str = ""
    autoprovision: bool = False
    driver: str = ""
    driver_opts: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class EfsAuthorizationConfig(Record, frozen=True):
    """EFS access point and IAM use."""

    access_point_id: str = ""
    iam: str = ""


class EfsVolumeConfiguration(Record, frozen=True):
    """An Amazon EFS volume."""

    file_system_id: str = ""
    root_directory: str = ""
    transit_encryption: str = ""
    transit_encryption_port: int | None = None
    authorization_config: EfsAuthorizationConfig | None = None


class FsxAuthorizationConfig(Record, frozen=True):
    """Credentials and domain of an FSx volume."""

    credentials_parameter: str = ""
    domain: str = ""


class FsxVolumeConfiguration(Record, frozen=True):
    """An FSx for Windows File Server volume."""

    file_system_id: str = ""
    root_directory: str = ""
    authorization_config: FsxAuthorizationConfig | None = None


class EbsVolumeConfiguration(Record, frozen=True):
    """An Amazon EBS volume attached for the task."""

    volume_id: str = ""
    delete_on_termination: bool = False
    device_name: str = ""
    filesystem_type: str = ""


class LogDriverVolumeConfiguration(Record, frozen=True):
    """A volume that a log driver writes to."""

    driver: str = ""


class Volume(Record, frozen=True):
    """A task volume; `type` says which configuration counts (host, docker, efs, ...)."""

    name: str = ""
    type: str = ""
    host: HostVolumeProperties | None = None
    docker_volume_configuration: DockerVolumeConfiguration | None = None
    efs_volume_configuration: EfsVolumeConfiguration | None = None
    fsx_windows_file_server_volume_configuration: FsxVolumeConfiguration | None = None
    ebs_volume_configuration: EbsVolumeConfiguration | None = None
    log_driver_volume_configuration: LogDriverVolumeConfiguration | None = None


class IamRoleCredentials(Record, frozen=True):
    """Temporary credentials of a task role or execution role; the secret never shows in logs."""

    credentials_id: str = ""
    role_arn: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""
    expiration: str = ""
    credential_scope: str = ""

    def __repr__(self) -> str:
        return f"IamRoleCredentials(credentials_id={self.credentials_id!r}, secret withheld)"


class Ipv4AddressAssignment(Record, frozen=True):
    """A private IPv4 address of an interface."""

    private_address: str = ""
    primary: bool = False


class Ipv6AddressAssignment(Record, frozen=True):
    """An IPv6 address of an interface."""

    address: str = ""
    primary: bool = False


class NetworkInterfaceTunnelProperties(Record, frozen=True):
    """Tunnel id and address of a tunnelled interface."""

    tunnel_id: str = ""
    interface_ip_address: str = ""


class NetworkInterfaceVethProperties(Record, frozen=True):
    """The peer of a veth interface."""

    peer_interface: str = ""


class NetworkInterfaceVlanProperties(Record, frozen=True):
    """VLAN id of a branch interface and the trunk it belongs to."""

    vlan_id: str = ""
    trunk_interface_mac_address: str = ""


class ElasticNetworkInterface(Record, frozen=True):
    """A network interface for a task or an instance."""

    name: str = ""
    mac_address: str = ""
    attachment_arn: str = ""
    ec2_id: str = ""
    index: int = 0
    interface_association_protocol: str = ""
    interface_tunnel_properties: NetworkInterfaceTunnelProperties | None = None
    interface_veth_properties: NetworkInterfaceVethProperties | None = None
    interface_vlan_properties: NetworkInterfaceVlanProperties | None = None
    ipv4_addresses: tuple[Ipv4AddressAssignment, ...] = ()
    ipv6_addresses: tuple[Ipv6AddressAssignment, ...] = ()
    domain_name: tuple[str, ...] = ()
    domain_name_servers: tuple[str, ...] = ()
    private_dns_name: str = ""
    subnet_gateway_ipv4_address: str = ""
    subnet_gateway_ipv6_address: str = ""


class AttachmentProperty(Record, frozen=True):
    """A named value of an attachment."""

    name: str = ""
    value: str = ""


class Attachment(Record, frozen=True):
    """An attachment of a task: an interface, a volume, Service Connect."""

    attachment_arn: str = ""
    attachment_type: str = ""
    attachment_properties: tuple[AttachmentProperty, ...] = ()


class EncodedString(Record, frozen=True):
    """A string with its encoding: identity or base64."""

    value: str = ""
    encoding: str = ""


class Association(Record, frozen=True):
    """A GPU or accelerator given to containers of the task."""

    name: str = ""
    type: str = ""
    content: EncodedString | None = None
    containers: tuple[str, ...] = ()


class ProxyConfiguration(Record, frozen=True):
    """App Mesh proxy settings."""

    type: str = ""
    container_name: str = ""
    properties: dict[str, str] = msgspec.field(default_factory=dict)


class TrustedExecutionConfiguration(Record, frozen=True):
    """Isolation mode of a task."""

    isolation_mode: str = ""


class Task(Record, frozen=True):
    """A task as the control plane wants it (cpu in vCPU as a float, memory in MiB).

    `stop_may_wait` is Homeport's own, and Amazon's agent passes over it: whether starts on the
    container instance may go before this task's stop.
    """

    arn: str = ""
    task_cluster_arn: str = ""
    desired_status: str = ""
    family: str = ""
    version: str = ""
    containers: tuple[Container, ...] = ()
    overrides: str = ""
    volumes: tuple[Volume, ...] = ()
    network_mode: str = ""
    launch_type: str = ""
    cpu: float | None = None
    memory: int | None = None
    pid_mode: str = ""
    ipc_mode: str = ""
    service_name: str = ""
    group: str = ""
    zone: str = ""
    task_definition_account_id: str = ""
    role_credentials: IamRoleCredentials | None = None
    execution_role_credentials: IamRoleCredentials | None = None
    elastic_network_interfaces: tuple[ElasticNetworkInterface, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    associations: tuple[Association, ...] = ()
    proxy_configuration: ProxyConfiguration | None = None
    agent_configuration: str = ""
    enable_fault_injection: bool = False
    trusted_execution_configuration: TrustedExecutionConfiguration | None = None
    stop_may_wait: bool = False
