"""Account settings."""

import pytest

from builders import make_store
from calls import call, decide
from homeport.api import ecs

ROOT = "arn:aws:iam::123456789012:root"
USER = "arn:aws:iam::123456789012:user/ada"


def values(reply):
    return {setting["name"]: setting["value"] for setting in reply["settings"]}


def test_a_setting_that_was_put_is_listed():
    store = make_store()
    put = call(store, "PutAccountSetting", name="containerInsights", value="enabled")["setting"]
    assert put == {
        "name": "containerInsights",
        "value": "enabled",
        "principalArn": ROOT,
        "type": "user",
    }
    assert call(store, "ListAccountSettings")["settings"] == [put]


def test_without_effective_settings_only_what_was_put_for_the_principal_is_listed():
    store = make_store()
    call(store, "PutAccountSettingDefault", name="awsvpcTrunking", value="enabled")
    assert call(store, "ListAccountSettings", principalArn=USER)["settings"] == []


def test_effective_is_the_principals_own_then_the_accounts_then_awss_default():
    store = make_store()
    call(store, "PutAccountSettingDefault", name="awsvpcTrunking", value="enabled")
    call(store, "PutAccountSettingDefault", name="containerInsights", value="enabled")
    call(
        store,
        "PutAccountSetting",
        name="containerInsights",
        value="enhanced",
        principalArn=USER,
    )
    found = {}
    for name in ("awsvpcTrunking", "containerInsights", "taskLongArnFormat"):
        reply = call(
            store, "ListAccountSettings", name=name, principalArn=USER, effectiveSettings=True
        )
        found |= values(reply)
    assert found == {
        "awsvpcTrunking": "enabled",
        "containerInsights": "enhanced",
        "taskLongArnFormat": "enabled",
    }


def test_effective_settings_page_by_ten_and_name_every_setting_once():
    store, token, seen = make_store(), {}, []
    while True:
        reply = call(store, "ListAccountSettings", effectiveSettings=True, **token)
        assert len(reply["settings"]) <= 10
        seen += [setting["name"] for setting in reply["settings"]]
        if "nextToken" not in reply:
            break
        token = {"nextToken": reply["nextToken"]}
    assert seen == sorted(ecs.ENUM_VALUES["SettingName"])


def test_a_value_filters_the_settings_of_a_name():
    store = make_store()
    call(store, "PutAccountSetting", name="containerInsights", value="enabled")
    for value, count in (("enabled", 1), ("disabled", 0)):
        reply = call(store, "ListAccountSettings", name="containerInsights", value=value)
        assert len(reply["settings"]) == count


def test_a_deleted_setting_falls_back_to_the_default():
    store = make_store()
    call(store, "PutAccountSetting", name="fargateFIPSMode", value="enabled")
    deleted = call(store, "DeleteAccountSetting", name="fargateFIPSMode")["setting"]
    assert deleted["value"] == "enabled"
    assert call(store, "ListAccountSettings")["settings"] == []
    again = decide(store, "DeleteAccountSetting", name="fargateFIPSMode")
    assert again.changes == ()
    assert again.reply.setting.value == "disabled"


@pytest.mark.parametrize(
    ("operation", "members", "words"),
    [
        ("PutAccountSetting", {"name": "unknown", "value": "x"}, r"^unknown should be one of \["),
        ("PutAccountSetting", {"name": "containerInsights", "value": "x"}, "enhanced,enabled"),
        ("PutAccountSetting", {"name": "taskLongArnFormat", "value": "disabled"}, "enabled"),
        ("PutAccountSetting", {"name": "guardDutyActivate", "value": "on"}, "read-only"),
        ("PutAccountSettingDefault", {"name": "fargateFIPSMode", "value": "on"}, "enabled"),
        ("ListAccountSettings", {"value": "enabled"}, "name of the setting"),
        ("ListAccountSettings", {"maxResults": 11}, "between 1 and 10"),
        ("ListAccountSettings", {"principalArn": "ada"}, "Invalid principalArn"),
        (
            "ListAccountSettings",
            {"principalArn": "arn:aws:iam::210987654321:root"},
            "Invalid principalArn",
        ),
    ],
)
def test_unsound_calls_are_refused(operation, members, words):
    with pytest.raises(ecs.InvalidParameterException, match=words):
        decide(make_store(), operation, **members)
