"""The container agent of one container instance: it meets the control plane on the wire only.

Pure: `task_state`, `dependencies`, `stimuli`, `task_machine`, `advance`, `survey`, `reporting`,
`container_spec`, `ports`, `unsupported`. Edges: `docker`, `link`, `sessions`, `state_file`,
`telemetry`, `main`.
"""
