"""What `homeport stats` makes of points."""

from homeport.cli.stats import BARS, draw_course, rows_of

TASK = "arn:aws:ecs:us-east-1:123456789012:task/default/0123456789abcdef0123456789abcdef"


def make_point(timestamp: int, **members: object) -> dict[str, object]:
    return {"timestamp": timestamp, "tasks": 1, **members}


def test_a_task_has_one_row_with_what_is_now_the_average_and_the_maximum():
    points = [
        make_point(0, taskArn=TASK, cpuAverage=10.0, cpuMaximum=40.0, memoryAverage=1.0),
        make_point(60, taskArn=TASK, cpuAverage=20.0, cpuMaximum=30.0, memoryAverage=3.0),
    ]
    (row,) = rows_of(points)
    assert row == ("0123456789ab", "20.0", "15.0", "40.0", "3.0", "2.0", "0.0", "▅█")


def test_each_container_has_its_row_and_a_total_says_how_many_tasks():
    containers = [make_point(0, taskArn=TASK, containerName=name) for name in ("web", "side")]
    assert [row[0] for row in rows_of(containers)] == ["0123456789ab side", "0123456789ab web"]
    assert [row[0] for row in rows_of([make_point(0)])] == ["all, 1 tasks now"]


def test_what_nobody_published_is_a_dash():
    (row,) = rows_of([make_point(0, taskArn=TASK)])
    assert row[1:7] == ("-",) * 6


def test_a_course_of_nothing_is_flat():
    assert draw_course([0.0, 0.0]) == BARS[0] * 2
    assert draw_course([]) == ""
