"""Time: the event simulator and the RTL simulators that must agree with it."""
