"""The service scheduler after a restart with the clock set back (found by simulation)."""

import builders
from homeport.core.reconcile.service import reconcile_service
from homeport.state.view import View

AN_HOUR_MS = 3_600_000


def test_a_complaint_is_written_once_though_the_clock_was_set_back():
    definition, cluster = builders.make_task_definition(), builders.make_cluster()
    service = builders.make_service(definition=definition)
    store = builders.make_store(cluster, definition, service)
    now_ms = builders.NOW_MS - AN_HOUR_MS
    changed = []
    for round_number in range(3):
        moment = builders.at(now_ms, seed=str(round_number))
        decision = builders.apply(store, reconcile_service(View(store), service.arn, moment))
        changed.append(bool(decision.changes))
    assert changed == [True, False, False]
