"""Runs the generated accelerator on whole GEMMs, in three simulators, against the golden model."""
