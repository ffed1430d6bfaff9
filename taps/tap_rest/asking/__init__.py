"""What is asked for: the requests of a stream, from what the config says of them to a question that can be sent."""
