"""The report: one offline page of what a run found."""
