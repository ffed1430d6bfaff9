"""The sections of the config: of each its JSON Schema, its type, and what it may not say."""
