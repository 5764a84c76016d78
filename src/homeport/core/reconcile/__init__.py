"""The service scheduler: one service as it is in, the next step out."""
