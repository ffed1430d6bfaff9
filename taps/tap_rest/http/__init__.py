"""One question on its way: origins, connections, limits, retries, and the body of its answer as it comes."""
