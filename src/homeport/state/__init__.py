"""What the account's resources are now, in memory; only `store.Store.apply` writes."""
