"""Account settings: what a principal, or the account's default for all, has chosen.

Effective are a principal's own setting, else the root user's, else AWS's default. Source:
API:SettingName, PutAccountSetting; reference api-errors-and-limits §6, §7.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.account_setting import AccountSetting
from homeport.model.arn import Scope
from homeport.operations.context import CallContext
from homeport.operations.paging import page_size, read_token, take_page
from homeport.state.changes import Put, delete_of
from homeport.state.view import View

PAGE_SIZE_MAX = 10
PRINCIPAL_ARN_CHARACTERS = 2_048

_TOGGLE = ("enabled", "disabled")


class SettingRule(NamedTuple):
    """A setting's values and AWS's default; a fixed one nobody but the service may change."""

    values: tuple[str, ...]
    default: str
    is_fixed: bool = False


# Every ARN here has the long form, so that those three can't be turned off.
RULES: Mapping[str, SettingRule] = {
    "serviceLongArnFormat": SettingRule(("enabled",), "enabled"),
    "taskLongArnFormat": SettingRule(("enabled",), "enabled"),
    "containerInstanceLongArnFormat": SettingRule(("enabled",), "enabled"),
    "awsvpcTrunking": SettingRule(_TOGGLE, "disabled"),
    "containerInsights": SettingRule(("enhanced", *_TOGGLE), "disabled"),
    "fargateFIPSMode": SettingRule(_TOGGLE, "disabled"),
    "tagResourceAuthorization": SettingRule(("on", "off"), "on"),
    "fargateTaskRetirementWaitPeriod": SettingRule(("0", "7", "14"), "7"),
    "guardDutyActivate": SettingRule(("on", "off"), "off", is_fixed=True),
    "defaultLogDriverMode": SettingRule(("blocking", "non-blocking"), "non-blocking"),
    "fargateEventWindows": SettingRule(_TOGGLE, "disabled"),
}


def put_account_setting(
    view: View, request: ecs.PutAccountSettingRequest, context: CallContext
) -> Decision:
    """Change a setting for a principal, the caller unless another is named."""
    principal_arn = _check_principal(request.principal_arn, context)
    setting = _make_setting(context.scope, principal_arn, request.name, request.value)
    reply = ecs.PutAccountSettingResponse(setting=_render(setting))
    return Decision(reply=reply, changes=(Put(setting),))


def put_account_setting_default(
    view: View, request: ecs.PutAccountSettingDefaultRequest, context: CallContext
) -> Decision:
    """Change a setting for all principals of the account that have none of their own."""
    root_arn = _root_arn(context.scope)
    setting = _make_setting(context.scope, root_arn, request.name, request.value)
    reply = ecs.PutAccountSettingDefaultResponse(setting=_render(setting))
    return Decision(reply=reply, changes=(Put(setting),))


def delete_account_setting(
    view: View, request: ecs.DeleteAccountSettingRequest, context: CallContext
) -> Decision:
    """Forget a principal's setting; the answer shows what it was."""
    principal_arn = _check_principal(request.principal_arn, context)
    name = _check_name(request.name)
    setting = view.account_setting(setting_key(context.scope, principal_arn, name))
    if setting is None:
        value = effective_setting(view, context.scope, principal_arn, name)
        unset = ecs.Setting(name=name, value=value, principal_arn=principal_arn, type="user")
        return Decision(reply=ecs.DeleteAccountSettingResponse(setting=unset))
    reply = ecs.DeleteAccountSettingResponse(setting=_render(setting))
    return Decision(reply=reply, changes=(delete_of(setting),))


def list_account_settings(
    view: View, request: ecs.ListAccountSettingsRequest, context: CallContext
) -> Decision:
    """List a principal's settings by name, with `effectiveSettings` those that hold for it."""
    principal_arn = _check_principal(request.principal_arn, context)
    size = page_size(request.max_results, PAGE_SIZE_MAX, PAGE_SIZE_MAX)
    after = read_token(request.next_token)
    if request.value is not None and request.name is None:
        raise ecs.InvalidParameterException("Specify the name of the setting to filter by value.")
    names = sorted(RULES) if request.name is None else [_check_name(request.name)]
    listed = _list_effective if request.effective_settings else _list_own
    found = (
        setting
        for setting in listed(view, context.scope, principal_arn, names)
        if (after is None or (setting.name or "") > after)
        and (request.value is None or setting.value == request.value)
    )
    page, token = take_page(found, size, lambda setting: setting.name or "")
    return Decision(reply=ecs.ListAccountSettingsResponse(settings=page, next_token=token))


def effective_setting(view: View, scope: Scope, principal_arn: str, name: str) -> str:
    """Return the value that holds for a principal: its own, the account's, or AWS's default."""
    for holder_arn in (principal_arn, _root_arn(scope)):
        setting = view.account_setting(setting_key(scope, holder_arn, name))
        if setting is not None:
            return setting.value
    return RULES[name].default


def setting_key(scope: Scope, principal_arn: str, name: str) -> str:
    """Return the key of a setting's record."""
    return f"{scope.account_id}/{scope.region}/{principal_arn}/{name}"


def _list_own(
    view: View, scope: Scope, principal_arn: str, names: list[str]
) -> Iterator[ecs.Setting]:
    for name in names:
        setting = view.account_setting(setting_key(scope, principal_arn, name))
        if setting is not None:
            yield _render(setting)


def _list_effective(
    view: View, scope: Scope, principal_arn: str, names: list[str]
) -> Iterator[ecs.Setting]:
    for name in names:
        yield ecs.Setting(
            name=name,
            value=effective_setting(view, scope, principal_arn, name),
            principal_arn=principal_arn,
            type=_type_of(name),
        )


def _make_setting(
    scope: Scope, principal_arn: str, name: str | None, value: str | None
) -> AccountSetting:
    known = _check_name(name)
    rule = RULES[known]
    if rule.is_fixed:
        raise ecs.InvalidParameterException(f"The setting {known} is read-only.")
    if value not in rule.values:
        raise ecs.InvalidParameterException(
            f"Invalid value for {known}: it should be one of [{','.join(rule.values)}]"
        )
    return AccountSetting(
        key=setting_key(scope, principal_arn, known),
        account_id=scope.account_id,
        region=scope.region,
        principal_arn=principal_arn,
        name=known,
        value=value,
    )


def _check_name(name: str | None) -> str:
    if name is None or name not in RULES:
        raise ecs.InvalidParameterException(f"{name} should be one of [{','.join(RULES)}]")
    return name


def _check_principal(principal_arn: str | None, context: CallContext) -> str:
    """Return the principal a call is about: a user, a role or root of the caller's account."""
    if principal_arn is None:
        return context.principal_arn
    own = f"arn:aws:iam::{context.scope.account_id}:"
    tail = principal_arn.removeprefix(own)
    is_own = tail != principal_arn and (tail == "root" or tail.startswith(("user/", "role/")))
    if not is_own or len(principal_arn) > PRINCIPAL_ARN_CHARACTERS:
        raise ecs.InvalidParameterException(
            "Invalid principalArn. Specify the ARN of a user, a role or the root user of your "
            "account."
        )
    return principal_arn


def _root_arn(scope: Scope) -> str:
    return f"arn:aws:iam::{scope.account_id}:root"


def _type_of(name: str) -> str:
    return "aws_managed" if RULES[name].is_fixed else "user"


def _render(setting: AccountSetting) -> ecs.Setting:
    return ecs.Setting(
        name=setting.name,
        value=setting.value,
        principal_arn=setting.principal_arn,
        type=_type_of(setting.name),
    )


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "PutAccountSetting": put_account_setting,
    "PutAccountSettingDefault": put_account_setting_default,
    "DeleteAccountSetting": delete_account_setting,
    "ListAccountSettings": list_account_settings,
}
