mixdit_core.v
