"""RTL simulation: builds, benches and comparison with the model."""
