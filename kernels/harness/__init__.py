"""What drives every primitive in tests, certificates and benchmarks; none of it runs in a model."""
