"""OpenAPI documents: what they say of the records of a stream, and a config drafted from one."""
