"""The torture harness: a whole pipeline, hurt in every way, and a checker of what is left (docs: issue 3, "Proof")."""
