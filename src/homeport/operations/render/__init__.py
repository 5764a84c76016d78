"""Records to AWS shapes, one module per resource; nothing is decided here."""
