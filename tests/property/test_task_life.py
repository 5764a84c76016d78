"""Whatever callers and agents do, in whatever order, the records stay sound."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from builders import apply, at, make_cluster, make_task_definition
from desk import Desk
from homeport.api import ecs
from homeport.core.lifecycle.expiry import RetentionLimits, expire_records
from homeport.core.lifecycle.instance import connect_agent, lose_agent
from homeport.operations.ecs.agent_reports import submit_task_state_change
from homeport.operations.ecs.container_instances import update_container_instances_state
from homeport.operations.ecs.registration import (
    deregister_container_instance,
    register_container_instance,
)
from homeport.operations.ecs.run_task import run_task
from homeport.operations.ecs.tasks import stop_task

pytestmark = pytest.mark.slow

ORDER = ("PENDING", "RUNNING", "STOPPED")
DEFINITIONS = (
    make_task_definition("small", cpu_units=64, memory_mib=64),
    make_task_definition("large", cpu_units=900, memory_mib=1_500),
    make_task_definition("web", cpu_units=10, memory_mib=32, host_ports=(80, 443)),
)


def resource(name, value):
    return ecs.Resource(name=name, type="INTEGER", integer_value=value)


class TaskLife(RuleBasedStateMachine):
    """Instances come and go, tasks are run and stopped, agents report what they like."""

    def __init__(self):
        super().__init__()
        self.desk = Desk(make_cluster(), *DEFINITIONS)
        self.seen = {}
        self.instances = []

    @rule(cpu=st.sampled_from((128, 1_024)), memory=st.sampled_from((256, 2_048)))
    @precondition(lambda self: len(self.instances) < 4)
    def register(self, cpu, memory):
        request = ecs.RegisterContainerInstanceRequest(
            total_resources=[resource("CPU", cpu), resource("MEMORY", memory)]
        )
        answer = self.desk.ask(register_container_instance, request)
        self.instances.append(answer["containerInstance"]["containerInstanceArn"])

    @rule(data=st.data(), is_connected=st.booleans())
    @precondition(lambda self: self.instances)
    def agent_comes_or_goes(self, data, is_connected):
        arn = data.draw(st.sampled_from(self.instances))
        instance = self.desk.view.container_instance(arn)
        if instance is None or instance.status == "INACTIVE":
            return
        moment = at(self.desk.now_ms)
        if is_connected:
            versions = {"agent_version": "1", "agent_hash": None, "docker_version": None}
            decision = connect_agent(self.desk.view, arn, moment, **versions)
        else:
            decision = lose_agent(self.desk.view, arn, moment)
        apply(self.desk.store, decision)

    @rule(
        family=st.sampled_from(("small", "large", "web")),
        count=st.integers(1, 10),
        token=st.sampled_from((None, "a", "b")),
    )
    def run(self, family, count, token):
        request = ecs.RunTaskRequest(task_definition=family, count=count, client_token=token)
        try:
            answer = self.desk.ask(run_task, request)
        except (ecs.InvalidParameterException, ecs.ConflictException):
            return
        assert len(answer["tasks"]) <= count
        assert len(answer["tasks"]) == count or answer["failures"] or token

    @rule(data=st.data())
    @precondition(lambda self: self.seen)
    def stop(self, data):
        arn = data.draw(st.sampled_from(sorted(self.seen)))
        if self.desk.view.task(arn) is not None:
            self.desk.ask(stop_task, ecs.StopTaskRequest(task=arn))

    @rule(data=st.data(), status=st.sampled_from(ORDER), exit_code=st.sampled_from((None, 0, 137)))
    @precondition(lambda self: self.seen)
    def report(self, data, status, exit_code):
        arn = data.draw(st.sampled_from(sorted(self.seen)))
        change = ecs.ContainerStateChange(container_name="app", status=status, exit_code=exit_code)
        request = ecs.SubmitTaskStateChangeRequest(task=arn, status=status, containers=[change])
        answer = self.desk.ask(submit_task_state_change, request)
        assert answer == {"acknowledgment": "ok"}

    @rule(data=st.data(), status=st.sampled_from(("ACTIVE", "DRAINING")))
    @precondition(lambda self: self.instances)
    def drain(self, data, status):
        request = ecs.UpdateContainerInstancesStateRequest(
            container_instances=[data.draw(st.sampled_from(self.instances))], status=status
        )
        self.desk.ask(update_container_instances_state, request)

    @rule(data=st.data(), force=st.booleans())
    @precondition(lambda self: self.instances)
    def deregister(self, data, force):
        arn = data.draw(st.sampled_from(self.instances))
        request = ecs.DeregisterContainerInstanceRequest(container_instance=arn, force=force)
        try:
            self.desk.ask(deregister_container_instance, request)
        except ecs.InvalidParameterException:
            known = self.desk.view.container_instance(arn)
            assert known is None or self.desk.view.tasks_of_instance(arn)
            return
        assert not self.desk.view.tasks_of_instance(arn)

    @rule(seconds=st.sampled_from((1, 1_800, 3_600)))
    def time_passes(self, seconds):
        self.desk.now_ms += seconds * 1_000
        moment = at(self.desk.now_ms)
        apply(self.desk.store, expire_records(self.desk.view, RetentionLimits(), moment))

    @invariant()
    def status_moves_only_forward(self):
        for task in self.desk.store.tasks:
            before = self.seen.get(task.arn)
            if before is not None:
                assert ORDER.index(task.last_status) >= ORDER.index(before.last_status)
                assert not (before.desired_status == "STOPPED" and task.desired_status == "RUNNING")
                assert task.version >= before.version
                assert (task.version == before.version) == (task == before)
            self.seen[task.arn] = task


TaskLife.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTaskLife = TaskLife.TestCase
