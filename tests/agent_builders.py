"""Payload tasks and containers for tests of the agent."""

import uuid
from typing import Any

from homeport.wire.agent_messages import payload


def make_task(*containers: payload.Container, **members: Any) -> payload.Task:
    # Unlike any other run's: containers are named after it.
    task_id = uuid.uuid4().hex
    return payload.Task(
        arn=f"arn:aws:ecs:us-east-1:123456789012:task/default/{task_id}",
        desired_status="RUNNING",
        family="demo",
        version="1",
        containers=containers,
        network_mode=members.pop("network_mode", "bridge"),
        **members,
    )


def make_container(image: str, name: str = "web", **members: Any) -> payload.Container:
    members = {"memory": 16, "essential": True, **members}
    return payload.Container(name=name, image=image, **members)
