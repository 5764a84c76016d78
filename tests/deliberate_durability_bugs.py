"""Deliberate bugs in what is durable, in leases and webhooks; see `deliberate_bugs`."""

from msgspec.structs import replace

from homeport.core.effects import SendTasks
from homeport.engine import engine
from homeport.model.task import Task
from homeport.operations.render import events
from homeport.server import event_stream, webhooks
from homeport.sim import agent_disk, disk
from homeport.state.changes import Put
from homeport.storage import encoding, lease, outbox


def answers_leave_before_they_are_durable(patch):
    def commit(self, cause, decision, answer):
        if decision.changes:
            self._apply(cause, decision.changes)
        for effect in decision.effects:
            self._note_for_later(effect)
        self._let_out(decision, answer)
        self._outlet.work_waits()

    patch.setattr(engine.Engine, "_commit", commit)


def a_commit_is_not_journaled(patch):
    def apply(self, cause, changes):
        commit = engine.Commit(self._store.sequence + 1, self._now_ms, cause, changes)
        if cause == "SubmitTaskStateChange" and commit.sequence % 20 == 0:
            commit = engine.Commit(commit.sequence, commit.at_ms, cause, changes[:0])
            self._journal.append(commit)
            self._store.apply(engine.Commit(commit.sequence, commit.at_ms, cause, changes))
            return
        self._journal.append(commit)
        self._store.apply(commit)

    patch.setattr(engine.Engine, "_apply", apply)


def deletions_are_not_kept(patch):
    sound = encoding.encode_commit

    def encode_commit(commit):
        row, latest = sound(commit)
        return row, {key: value for key, value in latest.items() if value is not None}

    patch.setattr(disk, "encode_commit", encode_commit)


def a_member_of_a_record_is_not_encoded(patch):
    sound = disk.encode_commit

    def encode_commit(commit):
        lacking = [
            replace(change, record=replace(change.record, started_at_ms=None))
            if isinstance(change, Put) and isinstance(change.record, Task)
            else change
            for change in commit.changes
        ]
        return sound(replace(commit, changes=tuple(lacking)))

    patch.setattr(disk, "encode_commit", encode_commit)


def a_lost_lease_is_accepted(patch):
    patch.setattr(lease.LeaseBook, "check", lambda self, held: None)


def answers_ask_for_no_lease(patch):
    patch.setattr(disk.SimJournal, "is_held", True)


def tasks_are_sent_before_they_are_durable(patch):
    sound = engine.Engine._commit

    def _commit(self, cause, decision, answer):
        sends = tuple(e for e in decision.effects if isinstance(e, SendTasks))
        sound(self, cause, decision, answer)
        for effect in sends:
            self._outlet.send_tasks(effect)

    patch.setattr(engine.Engine, "_commit", _commit)
    patch.setattr(engine.Engine, "when_durable", lambda self, then: then())


def a_full_disk_passes_for_a_write(patch):
    sound = disk.SimJournal._written

    def written(self):
        if not self._disk.is_full:
            sound(self)
            return
        self._writing = []
        self._written_through = self._appended
        while self._waiting:
            self._waiting.popleft()[1]()

    patch.setattr(disk.SimJournal, "_written", written)


def recovery_misses_the_newest_commit(patch):
    sound = disk.SimDisk.recover

    def recover(self):
        if len(self.journal) > 1:
            self.journal.pop()
            self.durable_sequence -= 1
            self.records.clear()
            for written in self.journal:
                self.records.update(written.latest)
            self.records = {key: value for key, value in self.records.items() if value}
        return sound(self)

    patch.setattr(disk.SimDisk, "recover", recover)


def questions_are_answered_without_the_journal(patch):
    sound = engine.Engine._commit

    def _commit(self, cause, decision, answer):
        if answer is not None and not decision.changes:
            answer(decision.reply)
            answer = None
        sound(self, cause, decision, answer)

    patch.setattr(engine.Engine, "_commit", _commit)


def the_agent_promises_before_it_syncs(patch):
    sound = agent_disk.AgentDisk.write_changes

    def write_changes(self, **members):
        return sound(self, **{**members, "is_promise": False})

    patch.setattr(agent_disk.AgentDisk, "write_changes", write_changes)


def events_of_lost_commits_are_delivered(patch):
    sound = outbox.Outbox._begin

    def begin(self, urls, known_through, holds_journal):
        is_first = known_through == events.first_sequence_behind(0)
        sound(self, urls, known_through if is_first else 1 << 62, holds_journal)

    patch.setattr(outbox.Outbox, "_begin", begin)


def events_leave_before_they_are_durable(patch):
    def follow(self, commit, replaced):
        found = events.read_commit(self._view, commit, replaced)
        if found:
            for keep in self._keepers:
                keep(found)
            self._tell(found)

    patch.setattr(event_stream.EventStream, "follow", follow)


def an_event_is_given_up_after_one_try(patch):
    patch.setattr(webhooks, "RETRY_FOR_S", 0.0)


def the_outbox_takes_from_any_server(patch):
    patch.setattr(outbox.Outbox, "is_ours", lambda self: True)


def who_was_taken_over_from_goes_on_delivering(patch):
    class Heedless:
        def __init__(self, kept):
            self.is_ours = lambda: True
            self._kept = kept

        def __getattr__(self, name):
            return getattr(self._kept, name)

    sound = webhooks.Webhook.__init__

    def init(self, url, session, kept, **members):
        sound(self, url, session, Heedless(kept), **members)

    patch.setattr(webhooks.Webhook, "__init__", init)


# The scenario that catches a bug; it is `full` for the others.
deletions_are_not_kept.scenario = "long_day"
a_lost_lease_is_accepted.scenario = "lost_lease"
answers_ask_for_no_lease.scenario = "webhooks_lost_lease"
tasks_are_sent_before_they_are_durable.scenario = "disk_trouble"
a_full_disk_passes_for_a_write.scenario = "disk_full"
recovery_misses_the_newest_commit.scenario = "disk_trouble"
questions_are_answered_without_the_journal.scenario = "lost_lease"
the_agent_promises_before_it_syncs.scenario = "zone_outage"
events_of_lost_commits_are_delivered.scenario = "webhooks"
events_leave_before_they_are_durable.scenario = "webhooks"
an_event_is_given_up_after_one_try.scenario = "webhooks"
the_outbox_takes_from_any_server.scenario = "webhooks_lost_lease"
who_was_taken_over_from_goes_on_delivering.scenario = "webhooks_lost_lease"

MUTANTS = [
    value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", None) == __name__ and name[0] != "_"
]
