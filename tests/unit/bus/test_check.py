"""The check of descriptors, against the model of jobs."""
