"""Space: schedules, the RTL library and emitter, and what they cost."""
