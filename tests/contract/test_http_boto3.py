"""Real boto3 against the HTTP server: replies, refusals as botocore's classes, scopes, limits."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.engine.events import ApiCalled
from homeport.server.limits import ServerLimits
from served_api import ServedApi

MIB = 1024 * 1024


class Answers:
    """What the served `call` answers next."""

    def __init__(self) -> None:
        self.next: Callable[[ApiCalled], object] = lambda event: None

    async def __call__(self, event: ApiCalled) -> object:
        return self.next(event)


@pytest.fixture(scope="module")
def module_answers() -> Answers:
    return Answers()


@pytest.fixture(scope="module")
def server(module_answers: Answers) -> Iterator[ServedApi]:
    with ServedApi(module_answers) as served:
        yield served


@pytest.fixture
def answers(module_answers: Answers, server: ServedApi) -> Iterator[Answers]:
    server.calls.clear()
    yield module_answers
    module_answers.next = lambda event: None


@pytest.fixture(scope="module")
def client(server: ServedApi) -> Any:
    return server.client()


def raising(error: BaseException) -> Callable[[ApiCalled], object]:
    def answer(event: ApiCalled) -> object:
        raise error

    return answer


def test_a_reply_reaches_boto3_with_a_request_id(client: Any, answers: Answers) -> None:
    answers.next = lambda event: ecs.DescribeTasksResponse(
        tasks=[ecs.Task(task_arn="arn:t", created_at=1_700_000_000.25)], failures=[]
    )
    reply = client.describe_tasks(tasks=["t"])
    assert reply["tasks"][0]["createdAt"].timestamp() == 1_700_000_000.25
    assert reply["failures"] == []
    assert len(reply["ResponseMetadata"]["RequestId"]) == 36
    assert "date" in reply["ResponseMetadata"]["HTTPHeaders"]


def test_the_request_arrives_typed(client: Any, server: ServedApi, answers: Answers) -> None:
    answers.next = lambda event: ecs.RunTaskResponse(tasks=[], failures=[])
    client.run_task(taskDefinition="web", count=3, tags=[{"key": "a", "value": "b"}])
    event = server.calls[0]
    assert event.operation == "RunTask"
    assert isinstance(event.request, ecs.RunTaskRequest)
    assert (event.request.count, event.request.tags) == (3, [ecs.Tag(key="a", value="b")])
    assert event.endpoint == server.url


@pytest.mark.parametrize("name", sorted(e for e in dir(ecs) if e.endswith("Exception")))
def test_every_modelled_refusal_is_boto3s_own_class(
    name: str, client: Any, answers: Answers
) -> None:
    answers.next = raising(getattr(ecs, name)("why it was refused"))
    with pytest.raises(getattr(client.exceptions, name), match="why it was refused") as refused:
        client.list_clusters()
    assert refused.value.response["Error"]["Code"] == name
    status = refused.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == (500 if name == "ServerException" else 400)


def test_a_conflict_tells_boto3_the_resource_ids(client: Any, answers: Answers) -> None:
    answers.next = raising(ecs.ConflictException("taken", resource_ids=["arn:a"]))
    with pytest.raises(client.exceptions.ConflictException) as refused:
        client.run_task(taskDefinition="web")
    assert refused.value.response["resourceIds"] == ["arn:a"]


def test_a_bug_is_internal_failure_and_the_server_lives(
    client: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    answers.next = raising(ZeroDivisionError("a secret detail"))
    with pytest.raises(ClientError) as refused:
        client.list_clusters()
    answers.next = lambda event: ecs.ListClustersResponse(cluster_arns=[])
    assert client.list_clusters()["clusterArns"] == []
    assert refused.value.response["Error"]["Code"] == "InternalFailure"
    assert "a secret detail" not in str(refused.value)
    request_id = refused.value.response["ResponseMetadata"]["RequestId"]
    assert any(request_id in record.getMessage() for record in caplog.records)


def test_the_signature_picks_the_region_and_a_numeric_key_the_account(
    server: ServedApi, answers: Answers
) -> None:
    answers.next = lambda event: ecs.ListClustersResponse(cluster_arns=[])
    server.client(access_key_id="111122223333", region="eu-west-3").list_clusters()
    server.client(access_key_id="AKIAIOSFODNN7EXAMPLE", region="ap-south-1").list_clusters()
    server.client(access_key_id="1111222233334", region="us-gov-west-1").list_clusters()
    assert [(call.account_id, call.region) for call in server.calls] == [
        ("111122223333", "eu-west-3"),
        ("123456789012", "ap-south-1"),
        ("123456789012", "us-gov-west-1"),
    ]


def test_ten_mebibytes_are_too_large_and_reach_nobody(
    client: Any, server: ServedApi, answers: Answers
) -> None:
    with pytest.raises(ClientError) as refused:
        client.create_cluster(clusterName="x" * 10 * MIB)
    assert refused.value.response["Error"]["Code"] == "RequestEntityTooLargeException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert server.calls == []


def test_a_missing_member_is_refused_before_the_engine_hears_of_it(
    server: ServedApi, answers: Answers
) -> None:
    unchecked = server.client()
    unchecked.meta.events.register(
        "before-call.ecs.RunTask", lambda params, **_: params.update(body=b'{"count": 1}')
    )
    with pytest.raises(unchecked.exceptions.InvalidParameterException, match="taskDefinition is"):
        unchecked.run_task(taskDefinition="dropped on the way")
    assert server.calls == []


def test_requests_beyond_those_in_flight_are_asked_to_try_again() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def hold(event: ApiCalled) -> object:
        entered.set()
        await release.wait()
        return ecs.ListClustersResponse(cluster_arns=[])

    limits = ServerLimits(requests_in_flight=1)
    with ServedApi(hold, limits=limits) as served, ThreadPoolExecutor() as pool:
        first = pool.submit(served.client().list_clusters)
        served.run(entered.wait())
        with pytest.raises(ClientError) as refused:
            served.client().list_clusters()
        served.run(_set(release))
        assert first.result()["clusterArns"] == []
    assert refused.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


async def _set(event: asyncio.Event) -> None:
    event.set()


def test_every_common_error_is_a_client_error_with_its_code(client: Any, answers: Answers) -> None:
    for error_type in AwsError.__subclasses__():
        if error_type.__module__ != "homeport.api.errors":
            continue
        answers.next = raising(error_type("why"))
        with pytest.raises(ClientError) as refused:
            client.list_clusters()
        assert refused.value.response["Error"] == {"Code": error_type.code, "Message": "why"}
