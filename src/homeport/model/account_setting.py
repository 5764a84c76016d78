"""Account settings of a principal or the account's default."""

from homeport.model.record import Record


class AccountSetting(Record, frozen=True, kw_only=True, tag="account_setting"):
    """A setting that somebody put; `principal_arn` is the root user's for the default."""

    key: str  # f"{account_id}/{region}/{principal_arn}/{name}"
    account_id: str
    region: str
    principal_arn: str
    name: str
    value: str
