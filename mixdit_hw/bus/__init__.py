"""Between the accelerator and the bus: AXI4 and AXI4-Lite, registers, jobs."""
