"""Nouns of ECS as frozen records, enums and identifiers; no decisions live here."""
