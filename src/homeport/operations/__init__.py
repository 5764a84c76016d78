"""The public verbs: one function per AWS operation, each a pure decision."""
